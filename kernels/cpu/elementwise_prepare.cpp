// From a program and the specs of its inputs to steps on numbered slots, with few registers.
#include "cpu/elementwise.h"

#include <algorithm>

namespace fb::cpu {

namespace {

int64_t align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int arity_of(Op op) {
    if (op == Op::where) return 3;
    return (op >= Op::add && op <= Op::maximum) || (op >= Op::equal && op <= Op::less_equal) ? 2 : 1;
}

Function find_function(const Instruction& each, DType from, int scalars) {
    if (each.op == Op::cast) return cast_function(from, each.dtype);
    if (each.op == Op::where) return where_function(each.dtype, scalars);
    if (Function f = arithmetic_function(each.op, each.dtype, scalars)) return f;
    if (Function f = math_function(each.op, each.dtype, scalars)) return f;
    return compare_function(each.op, each.dtype, scalars);
}

}  // namespace

// What is known of each value while the code is gone through once.
struct Pass::Builder {
    struct Value {
        uint32_t slot = 0;
        bool one = false;     // the same for the whole block
        int64_t buffer = -1;  // its register
    };

    Pass& pass;
    const Program& program;
    const Signature& signature;
    int64_t size = 1;
    std::vector<char> needed, read;              // instructions, inputs
    std::vector<int64_t> last_use, input_last;   // the last instruction that reads it
    std::vector<int> uses;                       // of each instruction's result
    int64_t latest = -1;                         // the instruction of the last step, and which of its operands are one
    int latest_scalars = 0;                      // element
    std::vector<std::vector<int>> outputs;       // of each instruction
    std::vector<Value> inputs, results;
    std::vector<uint32_t> immediate_slots;
    std::vector<int64_t> free;                   // registers
    int64_t bytes = 0, register_bytes = 0;       // of the frame, after its slots

    Builder(Pass& pass, const Program& program, const Signature& signature, const std::vector<int>& wanted)
        : pass(pass), program(program), signature(signature), needed(program.code.size()),
          read(signature.inputs.size()), last_use(needed.size(), -1), input_last(read.size(), -1),
          uses(needed.size()), outputs(needed.size()), inputs(read.size()), results(needed.size()) {
        for (int64_t each : program.shape) size *= each;
        for (int k : wanted) {
            needed[program.outputs[k]] = 1;
            outputs[program.outputs[k]].push_back(k);
        }
        int64_t after = program.code.size();
        for (int64_t i = after; i-- > 0;) {
            if (!needed[i]) continue;
            const Instruction& each = program.code[i];
            for (const Operand& o : each.operands) {
                int64_t until = each.reduces() ? after : i;  // a reduction is done after all steps
                if (o.kind == Operand::result) {
                    needed[o.index] = 1;
                    uses[o.index]++;
                    last_use[o.index] = std::max(last_use[o.index], until);
                } else if (o.kind == Operand::input) {
                    read[o.index] = 1;
                    input_last[o.index] = std::max(input_last[o.index], until);
                }
            }
        }
    }

    uint32_t add_slot() {
        pass.slots.push_back(nullptr);
        return pass.slots.size() - 1;
    }
    int64_t reserve(int64_t length) {
        int64_t at = bytes;
        bytes += align(length);
        return at;
    }
    Value new_register() {
        if (free.empty()) free.push_back(reserve(register_bytes));
        Value v{add_slot(), false, free.back()};
        free.pop_back();
        pass.owned.emplace_back(v.slot, v.buffer);
        return v;
    }
    Value immediate(DType t, int64_t index) {
        uint64_t bits = 0;
        if (t == DType::f32) {
            auto x = static_cast<float>(program.reals[index]);
            std::memcpy(&bits, &x, sizeof x);
        } else if (t == DType::f64) {
            std::memcpy(&bits, &program.reals[index], sizeof bits);
        } else {  // little-endian: the low bytes come first
            bits = t == DType::b1 ? program.integers[index] != 0 : static_cast<uint64_t>(program.integers[index]);
        }
        pass.immediates.push_back(bits);
        immediate_slots.push_back(add_slot());
        return {immediate_slots.back(), true, -1};
    }
    Value operand(const Instruction& user, int place) {
        const Operand& o = user.operands[place];
        if (o.kind == Operand::input) return inputs[o.index];
        if (o.kind == Operand::result) return results[o.index];
        return immediate(program.dtype_of(signature, user, place), o.index);
    }
    // A value repeated over the block.
    Value filled(const Value& v, DType t) {
        Value made = new_register();
        pass.steps.push_back({fill_function(size_of(t)), made.slot, v.slot, 0, 0});
        latest = -1;
        return made;
    }

    // Inputs that are one element throughout, and those that move along with the blocks.
    void find_inputs() {
        int rank = static_cast<int>(program.shape.size());
        for (size_t k = 0; k < signature.inputs.size(); k++) {
            if (!read[k]) continue;
            const Spec& spec = signature.inputs[k];
            std::vector<int64_t> stride(rank, 0);
            bool one = size > 1;
            for (int i = 0; i < spec.rank; i++) {
                if (spec.shape[i] == 1) continue;
                stride[rank - spec.rank + i] = spec.stride[i];
                one = one && spec.stride[i] == 0;
            }
            inputs[k] = {add_slot(), one, -1};
            if (one)
                pass.fixed.emplace_back(inputs[k].slot, static_cast<int>(k));
            else
                pass.sources.push_back({Source::gather, static_cast<int>(k), inputs[k].slot, size_of(spec.dtype), 0,
                                        std::move(stride)});
        }
    }
    void place_inputs() {
        for (Source& s : pass.sources) {
            s.kind = pass.find(s);
            if (s.kind == Source::column) inputs[s.input].one = true;
            if (s.kind != Source::tile && s.kind != Source::gather) continue;
            s.buffer = reserve(std::max(pass.longest(), s.kind == Source::tile ? pass.walk.row : 0) * s.size);
            pass.owned.emplace_back(s.slot, s.buffer);
        }
    }

    // Nanoseconds for each element.
    double element_cost() const {
        double moved = 0, total = 0;
        for (const Source& s : pass.sources) moved += std::min(size, signature.inputs[s.input].size()) * s.size;
        for (size_t i = 0; i < needed.size(); i++) {
            if (!needed[i]) continue;
            const Instruction& each = program.code[i];
            total += function_cost(each.op, each.dtype);
            if (!each.reduces()) moved += size * outputs[i].size() * size_of(each.result());
        }
        return total + moved / size * 0.03;
    }

    void check(const Instruction& each) const {
        int arity = each.reduces() ? 1 : arity_of(each.op);
        for (int k = 0; k < 3; k++) {
            bool there = each.operands[k].kind != Operand::none;
            if (there != (k < arity)) throw Error("an elementwise program has an instruction without its operands");
            if (!there || each.op == Op::cast) continue;
            DType wanted = each.op == Op::where && k == 0 ? DType::b1 : each.dtype;
            if (program.dtype_of(signature, each, k) != wanted) throw Error("an elementwise program mixes dtypes");
        }
    }

    // False when there is no function for it.
    bool reduction(int64_t i) {
        const Instruction& each = program.code[i];
        const Reducer* reducer = find_reducer(each.op, each.dtype);
        if (!reducer) return false;
        Value from = operand(each, 0);
        if (from.one) from = filled(from, each.dtype);
        for (int k : outputs[i]) pass.reductions.push_back({reducer, from.slot, k, each.dtype});
        return true;
    }

    bool step(int64_t i) {
        const Instruction& each = program.code[i];
        Value operands[3];
        bool one = size > 1;
        int arity = arity_of(each.op), scalars = 0;
        for (int k = 0; k < arity; k++) {
            operands[k] = operand(each, k);
            one = one && operands[k].one;
            if (operands[k].one) scalars |= 1 << k;
        }
        if (scalars == (1 << arity) - 1) scalars = 0;  // on one element all variants are the same
        if (each.op == Op::where && scalars & scalar_a) {
            operands[0] = filled(operands[0], DType::b1);
            scalars &= ~scalar_a;
        }
        Function function = find_function(each, program.dtype_of(signature, each, 0), scalars);
        if (!function) return false;
        Step made_step{function, 0, operands[0].slot, operands[1].slot, operands[2].slot};
        bool paired = !one && pair(i, arity, operands, scalars, made_step);
        Value made;
        if (one) {
            made = {add_slot(), true, -1};
            pass.owned.emplace_back(made.slot, reserve(8));
        } else {
            made = destination(i, arity);
            if (paired) pass.steps.pop_back();
            latest = paired ? -1 : i;
            latest_scalars = scalars;
        }
        made_step.d = made.slot;
        (one ? pass.single : pass.steps).push_back(made_step);
        for (int k = 0; k < arity; k++) {
            if (Value* last = dying(i, k)) {
                free.push_back(last->buffer);
                last->buffer = -1;
            }
        }
        results[i] = made;
        // Further outputs of the same result, and outputs that are one element throughout.
        for (size_t k = one ? 0 : 1; k < outputs[i].size(); k++) {
            DType t = each.result();
            uint32_t slot = add_slot();
            pass.written.push_back({slot, outputs[i][k], size_of(t)});
            pass.steps.push_back({one ? fill_function(size_of(t)) : cast_function(t, t), slot, made.slot, 0, 0});
            latest = -1;
        }
        return true;
    }

    // Whether the last step and instruction i are one, when nobody else reads what is between them.
    bool pair(int64_t i, int arity, const Value* operands, int scalars, Step& step) const {
        const Instruction& each = program.code[i];
        if (latest < 0 || uses[latest] != 1 || !outputs[latest].empty() || arity > 2) return false;
        int place = 0;
        while (place < arity && (each.operands[place].kind != Operand::result || each.operands[place].index != latest))
            place++;
        if (place == arity) return false;
        const Instruction& before = program.code[latest];
        int other = arity == 2 && scalars & (place ? scalar_a : scalar_b) ? scalar_c : 0;
        Function both = pair_function(before.op, each.op, each.dtype, place == 1, latest_scalars | other);
        if (!both || before.dtype != each.dtype) return false;
        const Step& last = pass.steps.back();
        step = {both, 0, last.a, last.b, arity == 2 ? operands[1 - place].slot : 0};
        return true;
    }

    // An operand in a register that instruction i is the last to read.
    Value* dying(int64_t i, int k) {
        const Operand& o = program.code[i].operands[k];
        bool last = o.kind == Operand::result && last_use[o.index] == i && results[o.index].buffer >= 0;
        return last ? &results[o.index] : nullptr;
    }

    // Where a result goes: an output, the register of an operand with elements of the same size, or another one.
    Value destination(int64_t i, int arity) {
        const Instruction& each = program.code[i];
        int64_t width = size_of(each.result());
        if (!outputs[i].empty()) {
            Value made{add_slot(), false, -1};
            pass.written.push_back({made.slot, outputs[i][0], width});
            return made;
        }
        for (int k = 0; k < arity; k++) {
            Value* last = dying(i, k);
            if (!last || size_of(program.dtype_of(signature, each, k)) != width) continue;
            Value made = *last;
            last->buffer = -1;
            return made;
        }
        return new_register();
    }
};

bool Pass::prepare(const Program& program, const Signature& signature, const std::vector<int>& outputs, int64_t mask) {
    Builder b(*this, program, signature, outputs);
    b.find_inputs();
    join(program.shape);
    if (mask >= 0) groups = reduced_groups(program.shape, mask);
    double element_cost = b.element_cost();
    plan(b.size, element_cost);
    plan_results();
    b.place_inputs();
    int64_t widest = 1;
    for (size_t i = 0; i < b.needed.size(); i++)
        if (b.needed[i]) widest = std::max(widest, size_of(program.code[i].result()));
    b.register_bytes = longest() * widest;
    for (size_t i = 0; i < b.needed.size(); i++) {
        if (!b.needed[i]) continue;
        b.check(program.code[i]);
        if (!(program.code[i].reduces() ? b.reduction(i) : b.step(i))) return false;
    }

    // Memory of a frame: the slots, then everything else.
    int64_t head = align(slots.size() * sizeof(void*));
    for (auto& each : owned) each.second += head;
    for (auto& each : sources) each.buffer += head;
    frame_bytes = head + b.bytes;
    for (size_t k = 0; k < immediates.size(); k++) slots[b.immediate_slots[k]] = &immediates[k];

    cost = 25 + 4.0 * steps.size() * ((b.size + block_size - 1) / block_size) + b.size * element_cost;
    // Input memory may take an output when each block of it is read before that block of the output is written.
    in_place.resize(signature.outputs.size());
    for (size_t i = 0; i < b.needed.size(); i++) {
        if (program.code[i].reduces()) continue;
        for (int output : b.outputs[i])
            for (const Source& each : sources)
                if (each.kind == Source::direct && each.input < 64 && b.input_last[each.input] <= static_cast<int64_t>(i) &&
                    each.size == size_of(signature.outputs[output].dtype))
                    in_place[output] |= uint64_t{1} << each.input;
    }
    return true;
}

}  // namespace fb::cpu
