// Arrays (..., channels) by tiles of some rows and channels, for kernels that sum each channel over all rows.
#pragma once

#include "cpu/rowpack.h"
#include "cpu/rows.h"

#include <cstdlib>

namespace fb::cpu::rows {

// How an array is cut: by its shape alone. Very wide rows are cut into stripes of channels, so that the sums of a tile
// stay near; a part is a run of tiles in one stripe.
struct Cut {
    int64_t rows, channels, width, tile, part, row_parts, stripes;

    Cut(int64_t rows, int64_t channels, int64_t item) : rows(rows), channels(channels) {
        width = std::clamp<int64_t>(channels, 1, 8192 / item);
        tile = std::clamp<int64_t>((1 << 17) / (width * item), 8, 256) / 4 * 4;
        part = std::max<int64_t>((1 << 18) / (width * item) / tile, 1) * tile;
        row_parts = (rows + part - 1) / part;
        stripes = (channels + width - 1) / width;
    }
    int64_t count() const { return row_parts * stripes; }
    int64_t begin(int64_t i) const { return i % row_parts * part; }
    int64_t end(int64_t i) const { return std::min(begin(i) + part, rows); }
    int64_t first(int64_t i) const { return i / row_parts * width; }
    int64_t last(int64_t i) const { return std::min(first(i) + width, channels); }
    double nanoseconds(int64_t arrays, int64_t item) const {
        return 200 + 0.05 * static_cast<double>(arrays * rows * channels * item);
    }
};

// Some rows and channels of an array, each row side by side.
template <class T> struct Tile {
    const T* data;
    int64_t pitch;  // from one row to the next

    template <class N> FB_INLINE Pack<T> at(int64_t row, int64_t j, N count) const {
        return get(data + row * pitch + j, count);
    }
};

// An array by tiles: where they are, or copied to a buffer when its channels do not lie side by side.
template <class T> class Tiles {
  public:
    Tiles(const Spec& x, const Cut& cut) : most(cut.tile * cut.width) {
        Rows rows(x, 1u << (x.rank - 1));
        outer = rows.outer;
        step = rows.inner.rank ? rows.inner.stride[0] : 1;
        lies = step == 1 && outer.rank < 2;
    }
    size_t room() const { return lies ? 0 : most * sizeof(T); }
    Tile<T> get(const void* base, int64_t begin, int64_t end, int64_t first, int64_t last, T* buffer) const {
        const T* x = static_cast<const T*>(base) + first * step;
        if (lies) return {x + outer.offset(begin), outer.rank ? outer.stride[0] : 0};
        int64_t width = last - first, count = end - begin, from[256];
        for (int64_t i = 0; i < count; i++) from[i] = outer.offset(begin + i);
        if (outer.rank && std::abs(step) > std::abs(outer.stride[outer.rank - 1])) {
            for (int64_t j = 0; j < width; j++)
                for (int64_t i = 0; i < count; i++) buffer[i * width + j] = x[from[i] + j * step];
        } else {
            for (int64_t i = 0; i < count; i++)
                for (int64_t j = 0; j < width; j++) buffer[i * width + j] = x[from[i] + j * step];
        }
        return {buffer, width};
    }

  private:
    Axes outer;
    int64_t step, most;
    bool lies;
};

// total[k][j] = the sum over rows i of what add(i, j, count, sums) adds to sums[k]. Short rows are taken by fours; long
// ones one by one, as they come from memory.
template <class T, int kinds, class F> FB_INLINE void sum_rows(int64_t rows, int64_t width, T* const* total, F&& add) {
    auto some = [&](int64_t i, auto group, bool fresh) {
        for_packs<T>(width, [&](int64_t j, auto count) {
            Pack<T> sums[kinds];
            for (auto& each : sums) each = Pack<T>(0);
            for (int64_t k = 0; k < group; k++) add(i + k, j, count, sums);
            for (int k = 0; k < kinds; k++)
                put(total[k] + j, count, fresh ? sums[k] : get(total[k] + j, count) + sums[k]);
        });
    };
    int64_t i = 0;
    if (width * sizeof(T) <= 256)
        for (; i + 4 <= rows; i += 4) some(i, std::integral_constant<int64_t, 4>(), i == 0);
    for (; i < rows; i++) some(i, std::integral_constant<int64_t, 1>(), i == 0);
}

// Some arrays of equal size, 64-byte aligned, whose elements do not compete for the same cache lines.
constexpr int64_t room_for(int64_t size) { return (size + 31) / 16 * 16; }
template <class T> T* floats(const Scratch& held, int64_t number, int64_t size) {
    return held.as<T>() + number * room_for(size);
}
template <class T> size_t bytes_of(int64_t count, int64_t size) { return count * room_for(size) * sizeof(T); }

}  // namespace fb::cpu::rows
