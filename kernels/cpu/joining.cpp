// Several arrays into one and back: concat, stack, split, unstack.
#include "cpu/pieces.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

int axis_of(const Signature& s, int rank) {
    int64_t axis = s.attrs.integer("axis");
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

bool one_dtype(const std::vector<Spec>& xs, DType dtype) {
    for (const Spec& x : xs)
        if (x.dtype != dtype) return false;
    return true;
}

// The strides without those of one axis.
std::vector<int64_t> strides_beside(const Spec& x, int axis) {
    std::vector<int64_t> strides(x.stride, x.stride + x.rank);
    strides.erase(strides.begin() + axis);
    strides.resize(max_rank);
    return strides;
}

}  // namespace

std::unique_ptr<Kernel> make_concat(const Signature& s) {
    const Spec& whole = s.outputs[0];
    if (!one_dtype(s.inputs, whole.dtype)) return nullptr;
    int axis = axis_of(s, whole.rank);
    std::vector<Piece> pieces;
    int64_t at = 0;
    for (size_t k = 0; k < s.inputs.size(); k++) {
        pieces.push_back(piece_of(s.inputs[k], static_cast<int>(k), 0, at * whole.stride[axis], whole.stride));
        at += s.inputs[k].shape[axis];
    }
    return move_pieces(s, std::move(pieces), 0, false);
}

std::unique_ptr<Kernel> make_stack(const Signature& s) {
    const Spec& whole = s.outputs[0];
    if (!one_dtype(s.inputs, whole.dtype)) return nullptr;
    int axis = axis_of(s, whole.rank);
    std::vector<int64_t> strides = strides_beside(whole, axis);
    std::vector<Piece> pieces;
    for (size_t k = 0; k < s.inputs.size(); k++) {
        if (s.inputs[k].rank != whole.rank - 1) return nullptr;
        int64_t to = static_cast<int64_t>(k) * whole.stride[axis];
        pieces.push_back(piece_of(s.inputs[k], static_cast<int>(k), 0, to, strides.data()));
    }
    return move_pieces(s, std::move(pieces), 0, false);
}

}  // namespace fb::cpu
