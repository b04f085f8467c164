#include "cpu/tile.h"

#include "cpu/intrinsics.h"

#include <array>
#include <utility>

namespace fb::cpu {

namespace {

// Pointers to every third row: a CPU reaches the two between with an index register.
constexpr int stems_of(int rows) { return (rows + 2) / 3; }

template <class T, Lie lie, int rows> struct Left {
    const T* stem[lie == Lie::rows_adjacent ? 1 : stems_of(rows)];
    int64_t step;

    __attribute__((always_inline)) Left(const T* a, int64_t step) : step(step) {
        if constexpr (lie == Lie::rows_adjacent)
            stem[0] = a;
        else
            for (int i = 0; i < stems_of(rows); i++) stem[i] = a + 3 * i * step;
    }
    __attribute__((always_inline)) T at(int row) const {
        if constexpr (lie == Lie::rows_adjacent)
            return stem[0][row];
        else
            return stem[row / 3][row % 3 * step];
    }
    __attribute__((always_inline)) void next() {
        const int64_t by = lie == Lie::rows_adjacent ? step : 1;
        for (const T*& each : stem) each += by;
    }
};

template <class T, Lie lie, int rows, int vectors> void tile(const Tile<T>& t) {
    vec<T> sum[rows][vectors] = {};
    T* c = t.c;
    for (int i = 0; i < rows; i++) {
        __builtin_prefetch(c + i * t.c_step, 1);
        __builtin_prefetch(c + i * t.c_step + vectors * lanes<T> - 1, 1);
    }
    const T* b = t.b;
    const int64_t b_step = t.b_step;
    const char* ahead = static_cast<const char*>(t.ahead ? t.ahead : t.b);
    const int64_t ahead_step = t.ahead ? 64 : 0;
    for (int64_t o = 0; o < t.outer; o++) {
        for (int64_t m = 0; m < t.inner; m++) {
            Left<T, lie, rows> a(t.a + o * t.outer_step + m * t.inner_step, t.a_step);
            for (int64_t k = t.length; k > 0; k--) {
                vec<T> right[vectors];
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++) right[j] = load(b + j * lanes<T>);
#pragma GCC unroll 16
                for (int i = 0; i < rows; i++) {
                    vec<T> left = splat(a.at(i));
#pragma GCC unroll 2
                    for (int j = 0; j < vectors; j++) sum[i][j] = fused(left, right[j], sum[i][j]);
                }
                a.next();
                __builtin_prefetch(ahead, 0, 2);
                ahead += ahead_step;
                b += b_step;
            }
        }
    }
    const int last = t.columns - (vectors - 1) * lanes<T>;
    if (const T* from = t.from) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, from += t.from_step) {
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) {
                const T* at = from + j * lanes<T>;
                sum[i][j] += j + 1 < vectors || last == lanes<T> ? load(at) : load_part(at, last);
            }
        }
    }
    if (last == lanes<T>) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, c += t.c_step)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) store(c + j * lanes<T>, sum[i][j]);
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, c += t.c_step) {
            if (vectors > 1) store(c, sum[i][0]);
            store_part<T>(c + (vectors - 1) * lanes<T>, sum[i][vectors - 1], last);
        }
    }
}

template <class T, Lie lie, int vectors, int... row>
constexpr std::array<TileFunction<T>, tile_rows> functions(std::integer_sequence<int, row...>) {
    return {tile<T, lie, row + 1, vectors>...};
}

}  // namespace

template <class T> TileFunction<T> tile_function(Lie lie, int rows, int columns) {
    using Rows = std::make_integer_sequence<int, tile_rows>;
    static constexpr std::array<TileFunction<T>, tile_rows> table[2][2] = {
        {functions<T, Lie::rows_adjacent, 1>(Rows{}), functions<T, Lie::rows_adjacent, 2>(Rows{})},
        {functions<T, Lie::steps_adjacent, 1>(Rows{}), functions<T, Lie::steps_adjacent, 2>(Rows{})}};
    return table[static_cast<int>(lie)][columns > lanes<T>][rows - 1];
}

template TileFunction<float> tile_function<float>(Lie, int, int);
template TileFunction<double> tile_function<double>(Lie, int, int);

}  // namespace fb::cpu
