#include "cpu/elementwise.h"

#include "cpu/table.h"

#include <algorithm>

namespace fb::cpu {

Program::Program(const Signature& signature) {
    const Attrs& attrs = signature.attrs;
    shape = attrs.integers("shape");
    reals = attrs.reals("reals");
    integers = attrs.integers("integers");
    outputs = attrs.integers("outputs");
    std::vector<int64_t> numbers = attrs.integers("code");
    auto check = [](bool good, const char* what) {
        if (!good) throw Error(std::string("an elementwise program ") + what);
    };
    check(numbers.size() % 8 == 0, "has a piece of an instruction");
    check(shape.size() <= max_rank, "has more than 8 axes");
    int64_t inputs = signature.inputs.size(), count = numbers.size() / 8;
    for (int64_t i = 0; i < count; i++) {
        const int64_t* n = &numbers[i * 8];
        check(n[0] >= 0 && n[0] < op_count && n[1] >= 0 && n[1] < dtype_count, "has an unknown opcode or dtype");
        Instruction made{static_cast<Op>(n[0]), static_cast<DType>(n[1]), {}};
        for (int k = 0; k < 3; k++) {
            Operand o{static_cast<Operand::Kind>(n[2 + 2 * k]), n[3 + 2 * k]};
            int64_t pool = is_float(made.dtype) ? reals.size() : integers.size();
            if (o.kind == Operand::immediate && made.op == Op::where && k == 0) pool = integers.size();
            int64_t limit = o.kind == Operand::input ? inputs : o.kind == Operand::result ? i : pool;
            check(o.kind >= Operand::none && o.kind <= Operand::immediate, "has an operand of no kind");
            check(o.kind == Operand::none || (o.index >= 0 && o.index < limit), "has an operand that is not there");
            if (o.kind == Operand::result) check(!code[o.index].reduces(), "goes on after a reduction");
            made.operands[k] = o;
        }
        check(made.operands[0].kind != Operand::none, "has an instruction without operands");
        code.push_back(made);
    }
    check(outputs.size() == signature.outputs.size(), "has another number of outputs");
    for (size_t k = 0; k < outputs.size(); k++) {
        check(outputs[k] >= 0 && outputs[k] < count, "has an output that is not there");
        const Instruction& from = code[outputs[k]];
        int64_t size = 1;
        for (size_t i = 0; i < shape.size(); i++)
            if (!from.reduces() || !(from.mask() >> i & 1)) size *= shape[i];
        check(signature.outputs[k].size() == size && signature.outputs[k].dtype == from.result(),
              "has an output of another shape or dtype");
    }
    for (const Spec& each : signature.inputs) {
        bool fits = each.rank <= static_cast<int>(shape.size());
        for (int i = 0; fits && i < each.rank; i++)
            fits = each.shape[i] == 1 || each.shape[i] == shape[shape.size() - each.rank + i];
        check(fits, "has an input that does not broadcast to its shape");
    }
}

DType Program::dtype_of(const Signature& signature, const Instruction& user, int place) const {
    const Operand& o = user.operands[place];
    if (o.kind == Operand::input) return signature.inputs[o.index].dtype;
    if (o.kind == Operand::result) return code[o.index].result();
    return user.op == Op::where && place == 0 ? DType::b1 : user.dtype;
}

namespace {

class Elementwise final : public Kernel {
  public:
    void run(Work& work, const void* const* inputs, void* const* outputs) const override {
        for (auto& each : passes) each.run(work, inputs, outputs);
    }
    std::vector<Pass> passes;
};

// All results of a program without elements: what reductions start from.
std::unique_ptr<Kernel> nothing(const Program& program, const Signature& signature) {
    struct Start {
        const Reducer* reducer;
        int64_t size;
        double count;
    };
    std::vector<Start> starts;
    for (size_t k = 0; k < program.outputs.size(); k++) {
        const Instruction& from = program.code[program.outputs[k]];
        const Reducer* reducer = from.reduces() ? find_reducer(from.op, from.dtype) : nullptr;
        if (from.reduces() && !reducer) return nullptr;
        double count = 1;
        for (size_t i = 0; from.reduces() && i < program.shape.size(); i++)
            if (from.mask() >> i & 1) count *= program.shape[i];
        starts.push_back({reducer, signature.outputs[k].size(), count});
    }
    return kernel(50, [starts](Work&, const void* const*, void* const* outputs) {
        for (size_t k = 0; k < starts.size(); k++) {
            if (!starts[k].reducer || !starts[k].size) continue;
            Scratch acc(starts[k].size * 8);
            starts[k].reducer->clear(acc.as<char>(), starts[k].size);
            starts[k].reducer->finish(acc.as<char>(), starts[k].size, starts[k].count, outputs[k]);
        }
    });
}

}  // namespace

std::unique_ptr<Kernel> make_elementwise(const Signature& signature) {
    Program program(signature);
    int64_t size = 1;
    for (int64_t each : program.shape) size *= each;
    if (size == 0) return nothing(program, signature);

    // Outputs whose reductions go over other axes need a pass of their own; the others come along with the first.
    std::vector<int64_t> masks;
    std::vector<std::vector<int>> members;
    std::vector<int> plain;
    for (size_t k = 0; k < program.outputs.size(); k++) {
        const Instruction& from = program.code[program.outputs[k]];
        if (!from.reduces()) {
            plain.push_back(k);
            continue;
        }
        int64_t mask = 0;
        for (size_t i = 0; i < program.shape.size(); i++)
            if (program.shape[i] != 1 && from.mask() >> i & 1) mask |= int64_t{1} << i;
        size_t at = std::find(masks.begin(), masks.end(), mask) - masks.begin();
        if (at == masks.size()) {
            masks.push_back(mask);
            members.emplace_back();
        }
        members[at].push_back(k);
    }
    if (masks.empty()) {
        masks.push_back(-1);
        members.emplace_back();
    }
    members[0].insert(members[0].begin(), plain.begin(), plain.end());

    auto made = std::make_unique<Elementwise>();
    made->cost = 0;
    for (size_t i = 0; i < masks.size(); i++) {
        made->passes.emplace_back();
        if (!made->passes.back().prepare(program, signature, members[i], masks[i])) return nullptr;
        made->cost += made->passes.back().cost;
    }
    if (masks.size() == 1) {
        made->in_place = made->passes[0].in_place;
        made->sure = made->passes[0].sure();
    }
    return made;
}

}  // namespace fb::cpu
