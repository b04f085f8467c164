// Copies of images with padding, and images of any strides without gaps.
#pragma once

#include "runtime/kernel.h"

#include <algorithm>

namespace fb::cpu {

// An image to be copied with zeros around its pixels, and between them where `spread` is more than 1. Pixels that land
// outside are left out.
struct Frame {
    int64_t height, width, channels;  // of the image
    int64_t rows, columns;            // with padding
    int64_t top = 0, left = 0;        // where the first pixel lands
    int64_t row_spread = 1, column_spread = 1;

    int64_t pitch() const { return columns * channels; }
    bool padded() const {
        return rows != height || columns != width || top || left || row_spread > 1 || column_spread > 1;
    }
};

// The strides of one image.
struct Pixels {
    int64_t row, column, channel;
    bool adjacent(const Frame& f) const {
        return (channel == 1 || f.channels == 1) && (column == f.channels || f.width == 1);
    }
};

inline Pixels pixels_of(const Spec& images) { return {images.stride[1], images.stride[2], images.stride[3]}; }

// Rows from `begin` to `end` of the padded image.
template <class T>
void copy_padded(const Frame& f, const T* image, const Pixels& p, int64_t begin, int64_t end, T* to) {
    const int64_t c = f.channels, pitch = f.pitch();
    const bool adjacent = f.column_spread == 1 && p.adjacent(f);
    for (int64_t row = begin; row < end; row++, to += pitch) {
        const int64_t place = row - f.top, from_row = place / f.row_spread;
        if (place < 0 || from_row >= f.height || place % f.row_spread) {
            std::fill_n(to, pitch, T(0));
            continue;
        }
        const T* from = image + from_row * p.row;
        if (adjacent) {
            const int64_t skipped = std::max<int64_t>(-f.left, 0), left = std::max<int64_t>(f.left, 0);
            const int64_t copied = std::clamp<int64_t>(f.width - skipped, 0, std::max<int64_t>(f.columns - left, 0));
            const int64_t before = std::min(left * c, pitch), filled = before + copied * c;
            std::fill_n(to, before, T(0));
            if (copied) std::memcpy(to + before, from + skipped * c, copied * c * sizeof(T));
            std::fill_n(to + filled, pitch - filled, T(0));
            continue;
        }
        std::fill_n(to, pitch, T(0));
        for (int64_t x = 0; x < f.width; x++) {
            const int64_t column = f.left + x * f.column_spread;
            if (column < 0 || column >= f.columns) continue;
            for (int64_t k = 0; k < c; k++) to[column * c + k] = from[x * p.column + k * p.channel];
        }
    }
}

}  // namespace fb::cpu
