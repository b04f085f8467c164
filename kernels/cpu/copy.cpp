// An array with any strides to one without gaps.
#include "cpu/table.h"

#include <algorithm>

namespace fb::cpu {

namespace {

constexpr int64_t part_bytes = 1 << 18;

// Axes of size 1 are dropped, and neighbours that lie one after the other are joined.
struct Walk {
    int rank = 0;
    int64_t shape[max_rank], stride[max_rank];

    explicit Walk(const Spec& x) {
        for (int i = 0; i < x.rank; i++) {
            if (x.shape[i] == 1) continue;
            if (rank && stride[rank - 1] == x.shape[i] * x.stride[i]) {
                shape[rank - 1] *= x.shape[i];
                stride[rank - 1] = x.stride[i];
            } else {
                shape[rank] = x.shape[i];
                stride[rank++] = x.stride[i];
            }
        }
        if (rank == 0) {
            rank = 1;
            shape[0] = 1;
            stride[0] = 1;
        }
    }
};

template <class T> void copy_row(const T* from, int64_t step, T* to, int64_t n) {
    if (step == 1)
        std::memcpy(to, from, n * sizeof(T));
    else
        for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}

template <class T> void copy_rows(const Walk& w, const T* from, T* to, int64_t begin, int64_t end) {
    int64_t inner = w.shape[w.rank - 1];
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, offset = 0;
        for (int i = w.rank - 2; i >= 0; i--) {
            offset += rest % w.shape[i] * w.stride[i];
            rest /= w.shape[i];
        }
        copy_row(from + offset, w.stride[w.rank - 1], to + row * inner, inner);
    }
}

// A matrix whose columns lie one after the other: by tiles, so that both sides stay in the cache.
template <class T> void transpose_rows(const Walk& w, const T* from, T* to, int64_t begin, int64_t end) {
    constexpr int64_t tile = 16;
    int64_t columns = w.shape[1];
    for (int64_t i = begin; i < end; i += tile)
        for (int64_t j = 0; j < columns; j += tile)
            for (int64_t a = i; a < std::min(i + tile, end); a++)
                for (int64_t b = j; b < std::min(j + tile, columns); b++)
                    to[a * columns + b] = from[a * w.stride[0] + b * w.stride[1]];
}

template <class T> std::unique_ptr<Kernel> copy(const Signature& s) {
    Walk w(s.inputs[0]);
    int64_t size = s.inputs[0].size(), inner = w.shape[w.rank - 1];
    int64_t rows = size ? size / inner : 0;
    int64_t step = std::max<int64_t>(part_bytes / std::max<int64_t>(inner * sizeof(T), 1), 1);
    bool transpose = w.rank == 2 && w.stride[0] == 1;
    return kernel(20 + size * sizeof(T) * 0.1, [=](Work& work, const void* const* in, void* const* out) {
        auto from = static_cast<const T*>(in[0]);
        auto to = static_cast<T*>(out[0]);
        auto part = [&](int64_t i) {
            int64_t begin = i * step, end = std::min(begin + step, rows);
            transpose ? transpose_rows(w, from, to, begin, end) : copy_rows(w, from, to, begin, end);
        };
        int64_t parts = (rows + step - 1) / step;
        if (parts == 1)
            part(0);
        else
            work.parallel(parts, part);
    });
}

}  // namespace

std::unique_ptr<Kernel> make_copy(const Signature& s) {
    switch (size_of(s.inputs[0].dtype)) {
        case 1: return copy<uint8_t>(s);
        case 2: return copy<uint16_t>(s);
        case 4: return copy<uint32_t>(s);
        default: return copy<uint64_t>(s);
    }
}

}  // namespace fb::cpu
