// Reductions, as the last steps of an elementwise program. Everything that decides the order in which elements are
// combined follows from the shape and the axes alone.
//
// Axes of size 1 are left out, and neighbours that are both reduced or both kept are one group. When the last group is
// reduced, its elements are taken in blocks ("rows"); else the group before it is, by adding row to row ("columns").
// Each part of the work leaves accumulators of 8 bytes, double or int64; `merge_groups` combines what is left.
#pragma once

#include "cpu/functions.h"
#include "runtime/kernel.h"

namespace fb::cpu {

constexpr int64_t block_size = 512;    // elements that a step works on
constexpr int64_t chunk_blocks = 128;  // blocks in one part of a long reduction
constexpr int64_t stripe_size = 4096;  // columns that are reduced together
constexpr int tile_group = 16;         // rows that are added up in the dtype itself

struct Reducer {
    // acc[r] is combined with the `length` elements of row r.
    void (*rows)(const void* x, int64_t rows, int64_t length, void* acc);
    // tile[i] is combined with x[i]. A tile has elements of the dtype, or is like acc.
    void (*columns)(const void* x, int64_t n, void* tile);
    void (*clear_tile)(void* tile, int64_t n);
    void (*flush)(const void* tile, int64_t n, void* acc);
    void (*clear)(void* acc, int64_t n);
    void (*merge)(void* acc, const void* more, int64_t n);
    // The results: acc, divided by `count` for a mean, in the dtype.
    void (*finish)(const void* acc, int64_t n, double count, void* to);
    int64_t tile_size;  // bytes of an element of a tile
};

// nullptr when there is none.
const Reducer* find_reducer(Op op, DType t);

struct Group {
    int64_t size;
    bool reduced;
};
std::vector<Group> reduced_groups(const std::vector<int64_t>& shape, int64_t mask);

// Combines the accumulators over the reduced groups; the kept ones stay. `to` gets the results.
void merge_groups(const Reducer& reducer, const std::vector<Group>& groups, const void* acc, double count, void* to);

}  // namespace fb::cpu
