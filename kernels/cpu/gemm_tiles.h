// Packed panels of the operands of a product, and the tiles of the result that they give.
#pragma once

#include "cpu/pack.h"
#include "cpu/tile.h"

#include <algorithm>

namespace fb::cpu {

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step; }

// `size` things in `count` runs that differ by one at most.
struct Cut {
    int64_t size, count;
    int64_t at(int64_t i) const { return i * size / count; }
};

inline Cut row_panels(int64_t rows) { return {rows, up(rows, tile_rows)}; }

// One panel of an operand as `tile` wants it.
template <class T> struct Panel {
    const T* data;
    int64_t step;
};

template <class T> constexpr int64_t a_panel(int64_t steps) { return up(tile_rows * steps + lanes<T>, 16) * 16; }
template <class T> constexpr int64_t tile_size = tile_rows * tile_columns<T>;
template <class T> constexpr int64_t b_panel(int64_t steps) { return tile_columns<T> * steps; }

template <class T> inline int width_of(int64_t columns) { return columns > lanes<T> ? tile_columns<T> : lanes<T>; }

// Panels `begin` to `end` of A, for the steps that `a` begins with.
template <class T>
void pack_a(Matrix<T> a, Cut rows, int64_t begin, int64_t end, int64_t steps, T* to, int64_t pitch) {
    for (int64_t i = begin; i < end; i++, to += pitch) {
        const int height = static_cast<int>(rows.at(i + 1) - rows.at(i));
        pack_panel(a.from(rows.at(i), 0), height, rows.size - rows.at(i), steps, to, height);
    }
}

// The same for B, of `columns` columns. Where rows lie in one piece a few of them are read across all panels, so that
// memory is read in long runs.
template <class T>
void pack_b(Matrix<T> b, int64_t columns, int64_t begin, int64_t end, int64_t steps, T* to, int64_t pitch) {
    const int64_t run = b.column == 1 ? 8 : steps;
    for (int64_t k = 0; k < steps; k += run) {
        for (int64_t j = begin; j < end; j++) {
            const int64_t first = j * tile_columns<T>, rest = columns - first;
            const int width = static_cast<int>(std::min<int64_t>(rest, tile_columns<T>));
            const int wide = width_of<T>(width);
            pack_panel(b.from(k, first).transposed(), width, rest, std::min(run, steps - k),
                       to + (j - begin) * pitch + k * wide, wide);
        }
    }
}

// Where a part of C is, and where it is kept between blocks of k: tile by tile, so that it stays in the cache even
// where the rows of C lie a power of two apart.
template <class T> struct Target {
    T *c, *kept;
    int64_t step;
    enum { nothing, what_is_in_c, what_is_kept, what_is_given } add;
    bool last;  // block of k: now the sums go to c
    const T* given = nullptr;  // lies as c does, with rows `given_step` apart
    int64_t given_step = 0;
};

// All tiles of a part of C, for one block of k. The panel of B stays in the first cache while those of A pass.
template <class T, class A, class B>
void tiles(Cut rows, int64_t row_begin, int64_t row_end, Lie lie, const A& left, int64_t columns, int64_t column_begin,
           int64_t column_end, const B& right, int64_t steps, Target<T> to) {
    T* kept = to.kept;
    for (int64_t j = column_begin; j < column_end; j++) {
        const int width = static_cast<int>(std::min<int64_t>(columns - j * tile_columns<T>, tile_columns<T>));
        const Panel<T> b = right(j);
        for (int64_t i = row_begin; i < row_end; i++, kept += tile_size<T>) {
            const int64_t first = rows.at(i);
            const int height = static_cast<int>(rows.at(i + 1) - first);
            const Panel<T> a = left(i);
            Tile<T> t;
            t.a = a.data;
            t.a_step = a.step;
            t.length = steps;
            t.b = b.data;
            t.b_step = b.step;
            // Meanwhile the next panel of A comes nearer, where it is new, or a slice of the next panel of B.
            const int64_t slice = (i - row_begin) * steps * 64 / static_cast<int64_t>(sizeof(T));
            if (j == column_begin && i + 1 < row_end)
                t.ahead = left(i + 1).data;
            else if (j + 1 < column_end && slice < steps * b.step)
                t.ahead = right(j + 1).data + slice;
            t.c = to.last ? to.c + first * to.step + j * tile_columns<T> : kept;
            t.c_step = to.last ? to.step : tile_columns<T>;
            t.columns = width;
            switch (to.add) {
                case Target<T>::nothing: break;
                case Target<T>::what_is_in_c:
                    t.from = to.c + first * to.step + j * tile_columns<T>;
                    t.from_step = to.step;
                    break;
                case Target<T>::what_is_kept:
                    t.from = kept;
                    t.from_step = tile_columns<T>;
                    break;
                case Target<T>::what_is_given:
                    t.from = to.given + first * to.given_step + j * tile_columns<T>;
                    t.from_step = to.given_step;
            }
            tile_function<T>(lie, height, width)(t);
        }
    }
}

}  // namespace fb::cpu
