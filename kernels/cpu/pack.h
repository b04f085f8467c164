// Copies of parts of a matrix, in the order in which `tile` reads them.
#pragma once

#include "cpu/intrinsics.h"

#include <utility>

namespace fb::cpu {

// A matrix in memory: element (i, j) lies at data[i * row + j * column].
template <class T> struct Matrix {
    const T* data;
    int64_t row, column;

    const T* at(int64_t i, int64_t j) const { return data + i * row + j * column; }
    Matrix from(int64_t i, int64_t j) const { return {at(i, j), row, column}; }
    Matrix transposed() const { return {data, column, row}; }
};

// The lanes of a and b in turns, from lane `first` on.
template <class T, int first, int... i> inline vec<T> shuffled(vec<T> a, vec<T> b, std::integer_sequence<int, i...>) {
    return __builtin_shufflevector(a, b, first + i / 2 + i % 2 * lanes<T>...);
}

// A square of numbers in registers, rows to columns: each round shuffles row i together with row i + n/2, and after
// log2(n) rounds the bits of the row and those of the column have changed places. Source: the perfect shuffle of Stone,
// "Parallel Processing with the Perfect Shuffle", 1971.
template <class T> inline void transpose(vec<T> (&x)[lanes<T>]) {
    constexpr int n = lanes<T>;
#pragma GCC unroll 4
    for (int round = 1; round < n; round *= 2) {
        vec<T> y[n];
#pragma GCC unroll 16
        for (int i = 0; i < n / 2; i++) {
            y[2 * i] = shuffled<T, 0>(x[i], x[i + n / 2], std::make_integer_sequence<int, n>());
            y[2 * i + 1] = shuffled<T, n / 2>(x[i], x[i + n / 2], std::make_integer_sequence<int, n>());
        }
#pragma GCC unroll 16
        for (int i = 0; i < n; i++) x[i] = y[i];
    }
}

// `rows` rows of `steps` numbers each, step by step: to[k * pitch + i] = a(i, k). Up to a vector beyond the last number
// may be written with anything, so `to` needs room for that. Of the matrix, `readable` rows are there to be read,
// `rows` or more.
template <class T> inline void pack_panel(Matrix<T> a, int rows, int64_t readable, int64_t steps, T* to, int pitch) {
    constexpr int n = lanes<T>;
    if (a.row == 1) {
        const int whole = (rows + n - 1) / n * n <= readable ? (rows + n - 1) / n * n : rows / n * n;
        for (int64_t k = 0; k < steps; k++, to += pitch) {
            const T* from = a.at(0, k);
            int i = 0;
            for (; i < whole; i += n) {
                __builtin_prefetch(from + 8 * a.column + i);  // such short runs no CPU foresees
                store(to + i, load(from + i));
            }
            if (i < rows) store(to + i, load_part(from + i, rows - i));
        }
        return;
    }
    int64_t k = 0;
    constexpr int pieces = 64 / sizeof(T) / n * 2;  // of a panel: as tall as two vectors of the widest CPU
    if (a.column == 1 && rows <= pieces * n) {
        for (; k + n <= steps; k += n, to += n * pitch) {
            // What comes in 256 bytes, or at the beginning of the next panel.
            const int64_t soon = k + 256 / static_cast<int64_t>(sizeof(T));
            for (int r = 0; r < rows; r++)
                __builtin_prefetch(soon < steps ? a.at(r, soon) : a.at(r + rows, soon - steps));
            alignas(64) T rest[pieces][n][n];
            int used = 0;
            for (int i = 0; i < rows; i += n, used++) {
                vec<T> x[n];
#pragma GCC unroll 16
                for (int r = 0; r < n; r++) x[r] = i + r < rows ? load(a.at(i + r, k)) : vec<T>{};
                transpose<T>(x);
                if (rows <= n || pitch % n == 0) {
                    for (int s = 0; s < n; s++) store(to + s * pitch + i, x[s]);
                } else {
                    for (int s = 0; s < n; s++) store(rest[used][s], x[s]);
                }
            }
            if (rows <= n || pitch % n == 0) continue;
            for (int s = 0; s < n; s++)
                for (int piece = 0; piece < used; piece++) store(to + s * pitch + piece * n, load(rest[piece][s]));
        }
    }
    for (; k < steps; k++, to += pitch) {
        int i = 0;
        for (; i < rows; i++) to[i] = *a.at(i, k);
        for (; i < pitch; i++) to[i] = 0;
    }
}

}  // namespace fb::cpu
