#include "graph/emit.h"

#include "graph/extra.h"
#include "graph/views.h"
#include "runtime/library.h"

#include <algorithm>
#include <fstream>

#include <unistd.h>

namespace fb::graph {

int32_t Emitter::add_slot(const Spec& spec, Slot::Kind kind) {
    // Views too: a repeated number takes no memory, but as long to read.
    if (static_cast<double>(spec.bytes()) > memory()) too_large(static_cast<double>(spec.bytes()));
    Slot slot;
    slot.kind = kind;
    slot.known = true;
    slot.spec = spec;
    outline.slots.push_back(slot);
    return static_cast<int32_t>(outline.slots.size()) - 1;
}

Slot& Emitter::slot(int32_t number) { return outline.slots[number]; }

Type Emitter::type_of(int32_t number) {
    const Spec& s = slot(number).spec;
    return {s.dtype, Shape(s.shape, s.shape + s.rank), true};
}

int32_t Emitter::constant(const SharedArray& array) {
    int32_t made = add_slot(array->spec, Slot::foreign);
    recipe->constants.emplace_back(made, array);
    return made;
}

int32_t Emitter::constant(const Number& number, DType dtype) {
    auto array = std::make_shared<Array>(make_spec(dtype, {}));
    double real = number.as_real();
    int64_t whole = number.kind == Number::real ? 0 : number.i;
    switch (dtype) {
        case DType::f32: *static_cast<float*>(array->data) = static_cast<float>(real); break;
        case DType::f64: *static_cast<double*>(array->data) = real; break;
        case DType::b1: *static_cast<uint8_t*>(array->data) = real != 0; break;
        default:
            if (number.kind == Number::real || !holds(dtype, whole))
                bad_graph(std::string("a number does not fit ") + name_of(dtype));
            std::memcpy(array->data, &whole, static_cast<size_t>(size_of(dtype)));  // little-endian
    }
    return constant(array);
}

std::string Emitter::inputs_text(const std::vector<Operand>& operands) {
    std::string text;
    for (const Operand& each : operands)
        text += (text.empty() ? " (inputs: " : ", ") +
                (each.kind == Operand::tensor ? text_of(each.type) : std::string("a number"));
    return text.empty() ? text : text + ")";
}

void Emitter::add_step(Step step, Called called) {
    last_step[current] = append(std::move(step), std::move(called), current);
    outline.after.back() = first_wait;
}

std::vector<int32_t> Emitter::translate(const Node& node, std::vector<Operand>& operands, std::vector<int32_t>& inputs,
                               const std::vector<Type>& types) {
    if (types.empty()) {  // a group: others wait for it
        Step step;
        step.passive = true;
        add_step(std::move(step));
        return {};
    }
    if (node.op == "custom_gradient") return {inputs.begin(), inputs.begin() + static_cast<int64_t>(types.size())};
    if (node.op.compare(0, 7, "random_") == 0) {
        int32_t made = add_slot(spec_of(types[0]), Slot::foreign);
        recipe->draws.push_back({made, current});
        return {made};
    }
    bool needs_rows;
    if (is_view(node.op, needs_rows)) return views(node, inputs[0], types, needs_rows);
    std::vector<int32_t> outputs;
    if (elementwise(node.op, node.attrs, operands, inputs, types[0], outputs)) return outputs;
    if (node.op == "tie_share") return {tie_share(node, inputs[0])};
    if (std::vector<int32_t> made = extra(node, operands, inputs, types[0]); !made.empty()) return made;
    if (by_name(node, operands, inputs, types, outputs)) return outputs;
    unsupported("there is no native kernel for it" + inputs_text(operands));
}

bool Emitter::kernel(const std::string& name, const Attrs& attrs, std::vector<int32_t> inputs,
                     const std::vector<Type>& types,
            std::vector<int32_t>& outputs) {
    Signature s;
    s.attrs = attrs;
    for (int32_t each : inputs) s.inputs.push_back(slot(each).spec);
    for (const Type& each : types) s.outputs.push_back(spec_of(each));
    Step step;
    step.kernel = Library::get().make(name, s);
    if (!step.kernel) {  // strides that it does not do
        bool moved = false;
        for (Spec& each : s.inputs) {
            moved = moved || !each.contiguous();
            each.set_contiguous();
        }
        if (!moved || !(step.kernel = Library::get().make(name, s))) return false;
        for (int32_t& each : inputs) each = contiguous(each);
    }
    step.inputs = inputs;
    for (const Spec& each : s.outputs) step.outputs.push_back(add_slot(each, Slot::arena));
    outputs = step.outputs;
    add_step(std::move(step), {name, attrs});
    return true;
}

int32_t Emitter::only(const std::string& name, const Attrs& attrs, std::vector<int32_t> inputs, const Type& type) {
    std::vector<int32_t> made;
    if (!kernel(name, attrs, std::move(inputs), {type}, made))
        unsupported("there is no native kernel '" + name + "' for " + text_of(type));
    return made[0];
}

int32_t Emitter::contiguous(int32_t from) {
    if (slot(from).spec.contiguous()) return from;
    return only("copy", {}, {from}, type_of(from));
}

int32_t Emitter::compute(const std::string& op, const Attrs& attrs, const std::vector<Operand>& operands,
                const std::vector<int32_t>& inputs, const Type& type) {
    std::vector<int32_t> made;
    if (!elementwise(op, attrs, operands, inputs, type, made))
        unsupported("there is no native kernel to " + op + " " + text_of(type));
    return made[0];
}

int32_t Emitter::cast(int32_t from, DType dtype) {
    if (slot(from).spec.dtype == dtype) return from;
    Type type = type_of(from);
    Operand operand = type;
    type.dtype = dtype;
    return compute("astype", {}, {operand}, {from}, type);
}

bool Emitter::elementwise(const std::string& op, const Attrs& attrs, const std::vector<Operand>& operands,
                 const std::vector<int32_t>& inputs, const Type& type, std::vector<int32_t>& outputs) {
    Piece piece{op, attrs, operands, inputs, type, false};
    for (bool widen : {false, true}) {
        piece.widen = widen;
        ElementwiseProgram program;
        if (!program.add(piece, -1)) continue;
        Attrs code = program.finish({-1}, iteration_shape(piece));
        if (!kernel("elementwise", code, program.inputs(), {type}, outputs)) continue;
        pieces.emplace(static_cast<int32_t>(outline.steps.size()) - 1, std::move(piece));
        return true;
    }
    // A reduction to a dtype that is not computed in: by way of int64, whose low bits are right for sums.
    Type wide = type;
    wide.dtype = DType::i64;
    bool exact = op == "sum" || !(inputs.size() == 1 && operands[0].type.dtype == DType::u64);
    if (!is_reduction(op) || is_float(type.dtype) || type.dtype == DType::i64 || !exact) return false;
    if (!elementwise(op, attrs, operands, inputs, wide, outputs)) return false;
    outputs = {cast(outputs[0], type.dtype)};
    return true;
}

bool Emitter::by_name(const Node& node, const std::vector<Operand>& operands, std::vector<int32_t> inputs,
             const std::vector<Type>& types, std::vector<int32_t>& outputs) {
    const std::string& op = node.op;
    DType common = promote(operands);
    bool picks = op == "gather" || op == "embedding_lookup" || op == "scatter_add" || op == "one_hot";
    for (size_t k = 0; k < inputs.size(); k++) {
        if (operands[k].kind == Operand::none) bad_graph("an input is missing");
        if (operands[k].kind != Operand::number) continue;
        bool labels = op.compare(0, 6, "sparse") == 0;
        inputs[k] = constant(operands[k].number_, picks || labels ? DType::i64 : common);
    }
    if (kernel(op, node.attrs, inputs, types, outputs)) return true;
    // With operands of one dtype, where the op computes in one.
    std::vector<int32_t> converted = inputs;
    if (op == "matmul" || op == "conv2d" || op == "concat" || op == "stack" || op == "layer_norm" ||
        op == "softmax_cross_entropy") {
        for (int32_t& each : converted) each = cast(each, types[0].dtype);
    } else if (op == "conv2d_grad_input" || op == "conv2d_grad_filters") {
        for (size_t k : {0, 1}) converted[k] = cast(converted[k], types[0].dtype);
    } else if (op.rfind("scaled_dot_product_attention", 0) == 0) {
        for (int32_t& each : converted)
            if (slot(each).spec.dtype != DType::b1) each = cast(each, types[0].dtype);
    } else if (op == "softmax" || op == "log_softmax" || op == "logsumexp" || op == "var" || op == "std") {
        converted[0] = cast(converted[0], types[0].dtype);
    } else if (picks) {
        converted[op == "one_hot" ? 0 : 1] = cast(converted[op == "one_hot" ? 0 : 1], DType::i64);
    } else if ((op == "argmax" || op == "argmin") && slot(converted[0]).spec.dtype != DType::u64) {
        converted[0] = cast(converted[0], DType::i64);
    }
    return converted != inputs && kernel(op, node.attrs, converted, types, outputs);
}

std::vector<int32_t> Emitter::extra(const Node& node, const std::vector<Operand>& operands, std::vector<int32_t> inputs,
                           const Type& type) {
    Spec spec = spec_of(type);
    Step step;
    step.kernel = extra_kernel(node.op, node.attrs, spec);
    if (!step.kernel) return {};
    for (size_t k = 0; k < inputs.size(); k++) {
        if (operands[k].kind == Operand::number) inputs[k] = constant(operands[k].number_, type.dtype);
        int32_t whole = cast(inputs[k], type.dtype);
        if (!slot(whole).spec.same_shape(spec)) whole = add_views("broadcast_to", {}, whole, {type})[0];
        inputs[k] = contiguous(whole);
    }
    int32_t made = add_slot(spec, Slot::arena);
    step.inputs = inputs;
    step.outputs = {made};
    add_step(std::move(step));
    return {made};
}

int32_t Emitter::tie_share(const Node& node, int32_t x) {
    Attrs attrs = node.attrs;
    Attr keep;
    keep.kind = Attr::integer;
    keep.i = {1};
    attrs.all["keepdims"] = keep;
    Type type = type_of(x), flags = type, small = type;
    flags.dtype = DType::b1;
    std::vector<Operand> one = {type};
    Call call{one, attrs};
    small.shape = reduced(call, type);
    int32_t peak = compute(attrs.integer("largest") ? "max" : "min", attrs, {type}, {x}, small);
    int32_t hit = compute("equal", {}, {type, small}, {x, peak}, flags);
    int32_t nan = compute("not_equal", {}, {type, type}, {x, x}, flags);
    hit = cast(compute("logical_or", {}, {flags, flags}, {hit, nan}, flags), type.dtype);
    int32_t count = compute("sum", attrs, {type}, {hit}, small);
    return compute("divide", {}, {type, small}, {hit, count}, type);
}

std::vector<int32_t> Emitter::views(const Node& node, int32_t source, const std::vector<Type>& types, bool needs_rows) {
    if (source < 0) bad_graph("its input has to be a tensor");
    return add_views(node.op, node.attrs, needs_rows ? contiguous(source) : source, types);
}

std::vector<int32_t> Emitter::add_views(const std::string& op, const Attrs& attrs, int32_t source,
                                        const std::vector<Type>& types) {
    Step step;
    step.passive = true;
    step.inputs = {source};
    bool nested = slot(source).kind == Slot::view;
    int base = nested ? slot(source).base : source;
    int64_t start = nested ? slot(source).offset : 0;
    for (const View& each : views_of(op, attrs, slot(source).spec, types)) {
        int32_t made = add_slot(each.spec, Slot::view);
        slot(made).base = base;
        slot(made).offset = start + each.offset * size_of(each.spec.dtype);
        step.outputs.push_back(made);
    }
    std::vector<int32_t> outputs = step.outputs;
    add_step(std::move(step));
    return outputs;
}

double Emitter::memory() {
    static const double bytes = [] {
        double most = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
        // A container may have less than its machine.
        for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
            if (double limit; std::ifstream(path) >> limit && limit > 0) most = std::min(most, limit);
        return most;
    }();
    return bytes;
}

void Emitter::too_large(double bytes) {
    unsupported("a run would need " + std::to_string(static_cast<int64_t>(bytes / 1e9)) +
                " GB of memory, more than there is");
}

}  // namespace fb::graph
