// The heart of matrix products and convolutions: a small tile of a result, kept in registers while a sum runs.
//
// Row i and step k of the left operand are one number, which is multiplied with a row of the right operand, a whole
// vector or two. Every element of the result is a chain of fused multiply-adds in the order of k, in every tile, at an
// edge or not, however the operands lie. Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication", 2008.
#pragma once

#include "cpu/simd.h"

namespace fb::cpu {

// As many accumulators as the registers hold, beside two vectors of the right operand and one of the left.
#if defined(__AVX512F__)
constexpr int tile_rows = 14;
#elif defined(__ARM_NEON)
constexpr int tile_rows = 12;
#else
constexpr int tile_rows = 6;
#endif
constexpr int tile_vectors = 2;
template <class T> constexpr int tile_columns = tile_vectors * lanes<T>;

// How the left operand lies. `rows_adjacent`: its rows are neighbours, and `a_step` leads to the next k (packed panels,
// transposed matrices). `steps_adjacent`: its k are neighbours, and `a_step` leads to the next row.
enum class Lie { rows_adjacent, steps_adjacent };

// k runs over `outer` times `inner` times `length` steps: the windows of a convolution are pieces of an image.
template <class T> struct Tile {
    const T* a;
    int64_t a_step;
    int64_t length, inner = 1, inner_step = 0, outer = 1, outer_step = 0;
    const T* b;  // readable over whole vectors, also beyond `columns`
    int64_t b_step;
    T* c;
    int64_t c_step;
    int columns;              // of the result, at most `tile_columns`
    const T* from = nullptr;  // what the sums are added to
    int64_t from_step = 0;
    const void* ahead = nullptr;  // memory that is needed soon: 64 bytes of it are fetched in each step
};

template <class T> using TileFunction = void (*)(const Tile<T>&);

// For `rows` from 1 to `tile_rows`, and as few vectors as `columns` need.
template <class T> TileFunction<T> tile_function(Lie lie, int rows, int columns);

}  // namespace fb::cpu
