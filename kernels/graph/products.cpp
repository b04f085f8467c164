#include "graph/products.h"

#include "runtime/library.h"

#include <algorithm>

namespace fb::graph {

namespace {

constexpr int64_t most_steps = 128;  // of k, of products whose sum is made one after the other
constexpr size_t shared = 3;      // products, at least, for which an operand is packed
constexpr int64_t most_rows = 84; // of a product: with more of them packing is little beside the work
constexpr int64_t large = 4096;   // elements of an operand, at least, that is worth packing

const char* const matmul = "matmul";
const char* const matmul_add = "matmul_add";

// Whether a step is a product of two float matrices.
bool of_matrices(const Draft& draft, int32_t at) {
    if (draft.calls[at].name != matmul) return false;
    const Step& step = draft.outline.steps[at];
    const DType dtype = draft.outline.slots[step.outputs[0]].spec.dtype;
    if (!is_float(dtype) || step.inputs.size() != 2) return false;
    for (int32_t slot : {step.inputs[0], step.inputs[1], step.outputs[0]}) {
        const Spec& spec = draft.outline.slots[slot].spec;
        if (spec.rank != 2 || spec.dtype != dtype) return false;
    }
    return true;
}

// Finds the products that additions can make.
class Adding {
  public:
    explicit Adding(Draft& draft)
        : draft(draft), outline(draft.outline), maker(draft.makers()), awaited(draft.awaited()),
          readers(outline.slots.size()), users(outline.slots.size()), made(draft.count()), gone(draft.count()) {
        for (int32_t at = 0; at < draft.count(); at++)
            for (int32_t slot : outline.steps[at].inputs) {
                if (slot < 0) continue;
                readers[slot]++;
                users[slot].push_back(at);
            }
        for (int32_t slot : outline.results) readers[slot]++;
    }

    void run() {
        for (int32_t at = 0; at < draft.count(); at++)
            if (auto piece = draft.pieces.find(at); piece != draft.pieces.end() && is_sum(at, piece->second))
                replace(at, piece->second.slots);
        if (std::find(gone.begin(), gone.end(), true) == gone.end()) return;
        std::vector<int32_t> order;
        for (int32_t at = 0; at < draft.count(); at++)
            if (!gone[at]) order.push_back(at);
        draft.arrange(order, std::vector<int32_t>(draft.count(), -1));
    }

  private:
    // Whether a step adds two arrays of the result's shape and dtype, in memory as they are.
    bool is_sum(int32_t at, const Piece& piece) const {
        if (piece.op != "add" || piece.slots.size() != 2) return false;
        const auto& in = outline.steps[at].inputs;
        for (size_t k = 0; k < 2; k++) {
            const Operand& each = piece.inputs[k];
            if (each.kind != Operand::tensor || each.type.dtype != piece.output.dtype ||
                each.type.shape != piece.output.shape || std::find(in.begin(), in.end(), piece.slots[k]) == in.end())
                return false;
        }
        return piece.slots[0] != piece.slots[1];
    }

    // Whether it may share a pass over memory with an addition of this shape.
    bool elementwise(int32_t at, const Shape& shape) const {
        const auto piece = at < 0 ? draft.pieces.end() : draft.pieces.find(at);
        if (piece == draft.pieces.end()) return false;
        if (piece->second.output.shape == shape) return true;
        for (const Operand& each : piece->second.inputs)
            if (each.kind == Operand::tensor && each.type.shape == shape) return true;
        return false;
    }

    void replace(int32_t at, const std::vector<int32_t>& operands) {
        Step& sum = outline.steps[at];
        const Spec& spec = outline.slots[sum.outputs[0]].spec;
        const Shape shape(spec.shape, spec.shape + spec.rank);
        for (int place : {1, 0}) {
            const int32_t product = maker[operands[place]], other = operands[1 - place];
            if (product < 0 || gone[product] || awaited[product] || readers[operands[place]] != 1) continue;
            if (!of_matrices(draft, product)) continue;
            const int32_t before = maker[other];
            if (before >= 0 && (made[before] || draft.calls[before].name == matmul)) {
                const int32_t left = outline.steps[product].inputs[0];
                if (outline.slots[left].spec.shape[1] > most_steps) continue;  // they could run side by side
            } else {
                bool cheap = elementwise(before, shape);  // the addition costs nothing in their pass
                for (int32_t user : users[sum.outputs[0]]) cheap = cheap || elementwise(user, shape);
                if (cheap) continue;
            }
            std::vector<int32_t> inputs = outline.steps[product].inputs;
            inputs.push_back(other);
            Signature s;
            for (int32_t slot : inputs) s.inputs.push_back(outline.slots[slot].spec);
            s.outputs = {spec};
            auto kernel = Library::get().make(matmul_add, s);
            if (!kernel) continue;
            sum.kernel = std::move(kernel);
            sum.inputs = std::move(inputs);
            auto& waits = outline.after[product];
            outline.after[at].insert(outline.after[at].end(), waits.begin(), waits.end());
            draft.calls[at] = {matmul_add, {}};
            draft.pieces.erase(at);
            made[at] = gone[product] = true;
            return;
        }
    }

    Draft& draft;
    Outline& outline;
    const std::vector<int32_t> maker;
    const std::vector<bool> awaited;
    std::vector<int32_t> readers;  // by slot, results counted
    std::vector<std::vector<int32_t>> users;
    std::vector<bool> made, gone;  // by step
};

// Numbers, at least, that the panels of a matrix take on any CPU: whole vectors, and whole blocks of k.
int64_t room_for(int64_t k, int64_t n) { return (n + 63) / 64 * 64 * (k + 16 * (k / 512 + 1)); }

// Where an operand lies, so that equal views are one.
std::vector<int64_t> place_of(const Outline& outline, int32_t slot) {
    const Slot& each = outline.slots[slot];
    const bool view = each.kind == Slot::view;
    const Spec& s = each.spec;
    return {view ? each.base : slot, view ? each.offset : 0, static_cast<int64_t>(s.dtype), s.shape[0], s.shape[1],
            s.stride[0], s.stride[1]};
}

}  // namespace

void add_products(Draft& draft) { Adding(draft).run(); }

void pack_operands(Draft& draft) {
    Outline& outline = draft.outline;
    std::map<std::vector<int64_t>, std::vector<int32_t>> sharing;
    for (int32_t at = 0; at < draft.count(); at++) {
        if (draft.calls[at].name != matmul_add && !of_matrices(draft, at)) continue;
        const Spec& y = outline.slots[outline.steps[at].inputs[1]].spec;
        const Spec& out = outline.slots[outline.steps[at].outputs[0]].spec;
        if (out.shape[0] >= 2 && out.shape[0] <= most_rows && out.shape[1] > 1 && y.size() >= large)
            sharing[place_of(outline, outline.steps[at].inputs[1])].push_back(at);
    }
    std::multimap<int32_t, int32_t> before;  // by the first product that uses them: steps that pack
    const int32_t count = draft.count();
    for (auto& [place, those] : sharing) {
        if (those.size() < shared) continue;
        const int32_t right = outline.steps[those[0]].inputs[1];
        Slot room;
        room.kind = Slot::arena;
        room.known = true;
        const Spec& y = outline.slots[right].spec;
        room.spec = make_spec(y.dtype, {room_for(y.shape[0], y.shape[1])});
        Step pack;
        pack.kernel = Library::get().make("pack", {{y}, {room.spec}, {}});
        std::vector<std::shared_ptr<const Kernel>> kernels;
        for (int32_t at : those) {
            const Step& step = outline.steps[at];
            Signature s{{outline.slots[step.inputs[0]].spec, room.spec}, {outline.slots[step.outputs[0]].spec}, {}};
            if (step.inputs.size() == 3) s.inputs.push_back(outline.slots[step.inputs[2]].spec);
            kernels.push_back(Library::get().make("packed_matmul", s));
        }
        if (!pack.kernel || std::find(kernels.begin(), kernels.end(), nullptr) != kernels.end()) continue;
        const auto panels = static_cast<int32_t>(outline.slots.size());
        outline.slots.push_back(room);
        pack.inputs = {right};
        pack.outputs = {panels};
        before.emplace(those[0], draft.append(std::move(pack), {"pack", {}}, draft.recipe->nodes[those[0]]));
        for (size_t k = 0; k < those.size(); k++) {
            Step& step = outline.steps[those[k]];
            step.kernel = std::move(kernels[k]);
            step.inputs[1] = panels;
            draft.calls[those[k]] = {"packed_matmul", {}};
        }
    }
    if (before.empty()) return;
    std::vector<int32_t> order;
    for (int32_t at = 0; at < count; at++) {
        auto [first, last] = before.equal_range(at);
        for (; first != last; ++first) order.push_back(first->second);
        order.push_back(at);
    }
    draft.arrange(order, std::vector<int32_t>(draft.count(), -1));
}

}  // namespace fb::graph
