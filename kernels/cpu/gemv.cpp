#include "cpu/gemv.h"

#include <algorithm>

namespace fb::cpu {

namespace {

template <class T> constexpr int virtual_lanes = 64 / sizeof(T);
constexpr int pieces = 64 / vector_bytes;  // vectors that hold them

constexpr int64_t strip = 1024;            // rows whose sums stay in the cache, lane by lane
constexpr int64_t part_numbers = 1 << 16;  // of A, for one thread at a time

// Lanes in pairs: l and l + n/2, and so on.
template <class T> T fold(T* lane) {
    for (int half = virtual_lanes<T> / 2; half; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

// Rows whose numbers are neighbours, several at a time, as each is a chain of additions that wait for one another.
template <class T, int rows> void along(const T* a, int64_t row, int64_t k, const T* x, T* y) {
    constexpr int n = virtual_lanes<T>;
    vec<T> sum[rows][pieces] = {};
    int64_t p = 0;
    for (; p + n <= k; p += n) {
        for (int q = 0; q < pieces; q++) {
            vec<T> right = load(x + p + q * lanes<T>);
            for (int i = 0; i < rows; i++)
                sum[i][q] = fused(load(a + i * row + p + q * lanes<T>), right, sum[i][q]);
        }
    }
    for (int i = 0; i < rows; i++) {
        T lane[n];
        for (int q = 0; q < pieces; q++) store(lane + q * lanes<T>, sum[i][q]);
        for (int64_t l = 0; p + l < k; l++) lane[l] = fused_one(a[i * row + p + l], x[p + l], lane[l]);
        y[i] = fold(lane);
    }
}

template <class T> void along_rows(const T* a, int64_t row, int64_t m, int64_t k, const T* x, T* y) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) along<T, 4>(a + i * row, row, k, x, y + i);
    for (; i < m; i++) along<T, 1>(a + i * row, row, k, x, y + i);
}

// `count` columns, whose numbers are neighbours, each times its x, to the sums of as many lanes.
template <class T, int count>
void add_columns(const T* a, int64_t column, const T* x, int64_t rows, T* sums, int64_t pitch) {
    int64_t i = 0;
    for (; i + lanes<T> <= rows; i += lanes<T>)
        for (int l = 0; l < count; l++)
            store(sums + l * pitch + i, fused(load(a + l * column + i), splat(x[l]), load(sums + l * pitch + i)));
    for (; i < rows; i++)
        for (int l = 0; l < count; l++)
            sums[l * pitch + i] = fused_one(a[l * column + i], x[l], sums[l * pitch + i]);
}

// Columns whose numbers are neighbours: the sums of a strip of rows, an array of them for each lane. Few columns at a
// time, as they may lie a power of two apart and fight for one place in the cache.
template <class T> void across_rows(const T* a, int64_t column, int64_t m, int64_t k, const T* x, T* y) {
    constexpr int n = virtual_lanes<T>, count = 4;
    constexpr int64_t pitch = strip + 80;
    Scratch scratch(n * pitch * sizeof(T));
    T* sums = scratch.as<T>();
    for (int64_t begin = 0; begin < m; begin += strip) {
        const int64_t rows = std::min(strip, m - begin);
        for (int l = 0; l < n; l++) std::fill_n(sums + l * pitch, rows, T(0));
        int64_t p = 0;
        for (; p + count <= k; p += count)
            add_columns<T, count>(a + p * column + begin, column, x + p, rows, sums + p % n * pitch, pitch);
        for (; p < k; p++) add_columns<T, 1>(a + p * column + begin, column, x + p, rows, sums + p % n * pitch, pitch);
        for (int half = n / 2; half; half /= 2)
            for (int l = 0; l < half; l++)
                for (int64_t i = 0; i < rows; i++) sums[l * pitch + i] += sums[(l + half) * pitch + i];
        std::copy_n(sums, rows, y + begin);
    }
}

template <class T> void part(Matrix<T> a, int64_t m, int64_t k, const T* x, T* y) {
    if (a.column == 1) return along_rows(a.data, a.row, m, k, x, y);
    if (a.row == 1) return across_rows(a.data, a.column, m, k, x, y);
    Scratch scratch(k * sizeof(T));
    T* row = scratch.as<T>();
    for (int64_t i = 0; i < m; i++) {
        for (int64_t p = 0; p < k; p++) row[p] = *a.at(i, p);
        along_rows(row, k, 1, k, x, y + i);
    }
}

}  // namespace

double gemv_cost(int64_t m, int64_t k, int64_t item) { return 30 + 3.0 * m + static_cast<double>(m * k * item) * 0.04; }

template <class T>
void gemv(Work* work, Matrix<T> a, int64_t m, int64_t k, const T* x, int64_t x_step, T* y) {
    Scratch scratch(x_step == 1 ? 0 : k * sizeof(T));
    if (x_step != 1) {
        T* copy = scratch.as<T>();
        for (int64_t p = 0; p < k; p++) copy[p] = x[p * x_step];
        x = copy;
    }
    if (!work || m * k < 2 * part_numbers) return part(a, m, k, x, y);
    // Columns are best read in long runs.
    const int64_t some = a.row == 1 && a.column != 1 ? strip : (std::max<int64_t>(part_numbers / k, 1) + 63) / 64 * 64;
    work->parallel((m + some - 1) / some, [&](int64_t i) {
        part(a.from(i * some, 0), std::min(some, m - i * some), k, x, y + i * some);
    });
}

template void gemv<float>(Work*, Matrix<float>, int64_t, int64_t, const float*, int64_t, float*);
template void gemv<double>(Work*, Matrix<double>, int64_t, int64_t, const double*, int64_t, double*);

}  // namespace fb::cpu
