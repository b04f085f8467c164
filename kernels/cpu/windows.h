// How windows slide over the height and width of images (batch, height, width, channels), as flowbook/ops/windows.py
// has it: for `same`, ceil(size / stride) windows, and the padding that takes is split evenly, the odd one after.
#pragma once

#include "runtime/kernel.h"

#include <algorithm>
#include <cctype>

namespace fb::cpu {

struct WindowAxis {
    int64_t length;  // of the image
    int64_t size, stride, dilation;
    int64_t places = 0;             // of the window
    int64_t before = 0, after = 0;  // padding

    int64_t padded() const { return before + length + after; }
    int64_t span() const { return (size - 1) * dilation + 1; }
};

struct Windows {
    WindowAxis vertical, horizontal;
    bool fits = false;  // false: no graph has such attributes

    // Whether an array has the shape of the result.
    bool gives(const Spec& y, int64_t images, int64_t channels) const {
        return y.rank == 4 && y.shape[0] == images && y.shape[1] == vertical.places &&
               y.shape[2] == horizontal.places && y.shape[3] == channels;
    }
};

// The value of an attribute for height and width: one int, or two.
inline bool pair_of(const Attrs& attrs, const char* name, int64_t (&both)[2]) {
    std::vector<int64_t> found = attrs.integers(name);
    if (found.empty() || found.size() > 2) return false;
    both[0] = found.front();
    both[1] = found.back();
    return both[0] > 0 && both[1] > 0;
}

inline bool slide(WindowAxis& axis, bool same) {
    if (axis.size < 1 || axis.length < 0) return false;
    if (same) {
        axis.places = (axis.length + axis.stride - 1) / axis.stride;
        const int64_t padding = std::max<int64_t>((axis.places - 1) * axis.stride + axis.span() - axis.length, 0);
        axis.before = axis.places ? padding / 2 : 0;
        axis.after = axis.places ? padding - axis.before : 0;
    } else {
        if (axis.length < axis.span()) return false;
        axis.places = (axis.length - axis.span()) / axis.stride + 1;
    }
    return true;
}

inline Windows windows_of(const Spec& image, const int64_t (&size)[2], const int64_t (&strides)[2],
                          const std::string& padding, const int64_t (&dilations)[2]) {
    std::string mode = padding;
    for (char& each : mode) each = static_cast<char>(std::tolower(static_cast<unsigned char>(each)));
    Windows w = {{image.shape[1], size[0], strides[0], dilations[0]},
                 {image.shape[2], size[1], strides[1], dilations[1]}};
    w.fits = (mode == "same" || mode == "valid") && slide(w.vertical, mode == "same") &&
             slide(w.horizontal, mode == "same");
    return w;
}

}  // namespace fb::cpu
