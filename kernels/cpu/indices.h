// Operands that hold indices or class numbers: integers of any dtype, with any strides.
#pragma once

#include "cpu/rows.h"

namespace fb::cpu::rows {

// Numbers above 2^63 are left to the reference kernel.
inline bool holds_indices(const Spec& x) { return !is_float(x.dtype) && x.dtype != DType::b1 && x.dtype != DType::u64; }

template <class L> void widen(const Rows& all, const void* from, int64_t* to) {
    auto base = static_cast<const L*>(from);
    all.runs([&](int64_t offset, int64_t n, int64_t step) {
        for (int64_t i = 0; i < n; i++) *to++ = base[offset + i * step];
    });
}

// All elements in row-major order.
inline void read_indices(const Spec& x, const void* from, int64_t* to) {
    Rows all(x, (1u << x.rank) - 1);
    switch (x.dtype) {
        case DType::i8: return widen<int8_t>(all, from, to);
        case DType::i16: return widen<int16_t>(all, from, to);
        case DType::i32: return widen<int32_t>(all, from, to);
        case DType::u8: return widen<uint8_t>(all, from, to);
        case DType::u16: return widen<uint16_t>(all, from, to);
        case DType::u32: return widen<uint32_t>(all, from, to);
        default: return widen<int64_t>(all, from, to);
    }
}

// "[1, 0]": the place of an element, by its number in row-major order.
inline std::string place_of(const Spec& x, int64_t number) {
    std::string text;
    for (int i = x.rank - 1; i >= 0; i--) {
        text = std::to_string(number % x.shape[i]) + (text.empty() ? "" : ", ") + text;
        number /= x.shape[i];
    }
    return "[" + text + "]";
}

}  // namespace fb::cpu::rows
