// Kernels that only move elements: each output is put together from boxes, which come from an input or hold one value.
#pragma once

#include "runtime/kernel.h"

namespace fb::cpu {

// A box of elements: where it lies in an input and in an output, as an offset and a stride for each axis.
struct Piece {
    int input = -1;  // -1: the value that fills
    int output = 0;
    int rank = 0;
    int64_t from = 0, to = 0;
    int64_t shape[max_rank], from_stride[max_rank], to_stride[max_rank];

    void add(int64_t n, int64_t from_step, int64_t to_step);
    int64_t size() const;
};

// All of `x`, to `to` onwards in an output with these strides.
Piece piece_of(const Spec& x, int input, int output, int64_t to, const int64_t* to_stride);

// A number, as the bits of a dtype. False when the dtype cannot hold it.
bool bits_of(DType dtype, const Attr& number, uint64_t& bits);

// Moves `pieces`, which do not overlap; before them, the whole of output 0 is filled where `cleared` says so.
std::unique_ptr<Kernel> move_pieces(const Signature& s, std::vector<Piece> pieces, uint64_t fill, bool cleared);

// The pieces that fill output 0 around a box from `begin` to `end`.
void fill_around(const Spec& output, const int64_t* begin, const int64_t* end, std::vector<Piece>& pieces);

}  // namespace fb::cpu
