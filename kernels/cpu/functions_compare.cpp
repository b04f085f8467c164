// Comparison, choice and casts.
#include "cpu/functions.h"

#include <type_traits>

namespace fb::cpu {

namespace {

template <class T> struct Equal {
    static uint8_t of(T a, T b) { return a == b; }
};
template <class T> struct NotEqual {
    static uint8_t of(T a, T b) { return a != b; }
};
template <class T> struct Less {
    static uint8_t of(T a, T b) { return a < b; }
};
template <class T> struct LessEqual {
    static uint8_t of(T a, T b) { return a <= b; }
};
template <class T> struct IsNan {
    static uint8_t of(T a) { return a != a; }
};
template <class T> struct IsFinite {
    static uint8_t of(T a) { return a - a == 0; }
};
struct Not {
    static uint8_t of(uint8_t a) { return a ^ 1; }
};

template <class T> Function compare(Op op, int scalars) {
    switch (op) {
        case Op::equal: return each_variant<T, uint8_t, Equal<T>>(scalars);
        case Op::not_equal: return each_variant<T, uint8_t, NotEqual<T>>(scalars);
        case Op::less: return each_variant<T, uint8_t, Less<T>>(scalars);
        case Op::less_equal: return each_variant<T, uint8_t, LessEqual<T>>(scalars);
        case Op::isnan: return unary_each<T, uint8_t, IsNan<T>>;
        case Op::isfinite: return unary_each<T, uint8_t, IsFinite<T>>;
        case Op::logical_not: return std::is_same_v<T, uint8_t> ? unary_each<uint8_t, uint8_t, Not> : nullptr;
        default: return nullptr;
    }
}

// Chosen by bits, so the dtype counts by its size only.
template <class T, bool one_b, bool one_c> void choose(void* d, const void* a, const void* b, const void* c, int64_t n) {
    auto to = static_cast<T*>(d);
    auto condition = static_cast<const uint8_t*>(a);
    auto x = static_cast<const T*>(b), y = static_cast<const T*>(c);
    T u = one_b ? *x : T{}, v = one_c ? *y : T{};
    FB_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        T p = one_b ? u : x[i], q = one_c ? v : y[i];
        to[i] = condition[i] ? p : q;
    }
}

template <class T> Function choose_variant(int scalars) {
    switch (scalars) {
        case 0: return choose<T, false, false>;
        case scalar_b: return choose<T, true, false>;
        case scalar_c: return choose<T, false, true>;
        case scalar_b | scalar_c: return choose<T, true, true>;
        default: return nullptr;
    }
}

template <class T> void fill(void* d, const void* a, const void*, const void*, int64_t n) {
    auto to = static_cast<T*>(d);
    T x = *static_cast<const T*>(a);
    for (int64_t i = 0; i < n; i++) to[i] = x;
}

// A float beyond the integers of a dtype is undefined in NumPy and in C++; here it is whatever the CPU makes of it by
// way of 64 bits.
template <class From, class To> To convert(From x) {
    if constexpr (std::is_same_v<To, bool>) return x != From(0);
    else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
        constexpr From limit = From(9223372036854775808.0);
        if constexpr (std::is_same_v<To, uint64_t>) {
            if (x >= limit) return x < 2 * limit ? static_cast<uint64_t>(static_cast<int64_t>(x - limit)) + (1ull << 63) : 0;
        }
        if constexpr (sizeof(To) < 4 || std::is_same_v<To, int32_t>) {
            From y = x > From(-2147483649.0) && x < From(2147483648.0) ? x : From(-2147483648.0);
            return static_cast<To>(static_cast<int32_t>(y));
        } else {
            From y = x >= -limit && x < limit ? x : -limit;
            return static_cast<To>(static_cast<int64_t>(y));
        }
    } else return static_cast<To>(x);
}

template <class From, class To> void cast(void* d, const void* a, const void*, const void*, int64_t n) {
    auto to = static_cast<To*>(d);
    auto x = static_cast<const From*>(a);
    FB_INDEPENDENT
    for (int64_t i = 0; i < n; i++) to[i] = convert<From, To>(x[i]);
}

template <class From> Function cast_from(DType to) {
    switch (to) {
        case DType::b1: return cast<From, bool>;
        case DType::i8: return cast<From, int8_t>;
        case DType::i16: return cast<From, int16_t>;
        case DType::i32: return cast<From, int32_t>;
        case DType::i64: return cast<From, int64_t>;
        case DType::u8: return cast<From, uint8_t>;
        case DType::u16: return cast<From, uint16_t>;
        case DType::u32: return cast<From, uint32_t>;
        case DType::u64: return cast<From, uint64_t>;
        case DType::f32: return cast<From, float>;
        case DType::f64: return cast<From, double>;
    }
    return nullptr;
}

}  // namespace

Function compare_function(Op op, DType t, int scalars) {
    switch (t) {
        case DType::b1: return compare<uint8_t>(op, scalars);
        case DType::i32: return compare<int32_t>(op, scalars);
        case DType::i64: return compare<int64_t>(op, scalars);
        case DType::f32: return compare<float>(op, scalars);
        case DType::f64: return compare<double>(op, scalars);
        default: return nullptr;
    }
}

Function where_function(DType t, int scalars) {
    switch (t) {
        case DType::b1: return choose_variant<uint8_t>(scalars);
        case DType::i32: case DType::f32: return choose_variant<uint32_t>(scalars);
        case DType::i64: case DType::f64: return choose_variant<uint64_t>(scalars);
        default: return nullptr;
    }
}

Function fill_function(int64_t size) {
    switch (size) {
        case 1: return fill<uint8_t>;
        case 2: return fill<uint16_t>;
        case 4: return fill<uint32_t>;
        default: return fill<uint64_t>;
    }
}

Function cast_function(DType from, DType to) {
    switch (from) {
        case DType::b1: return cast_from<uint8_t>(to);
        case DType::i8: return cast_from<int8_t>(to);
        case DType::i16: return cast_from<int16_t>(to);
        case DType::i32: return cast_from<int32_t>(to);
        case DType::i64: return cast_from<int64_t>(to);
        case DType::u8: return cast_from<uint8_t>(to);
        case DType::u16: return cast_from<uint16_t>(to);
        case DType::u32: return cast_from<uint32_t>(to);
        case DType::u64: return cast_from<uint64_t>(to);
        case DType::f32: return cast_from<float>(to);
        case DType::f64: return cast_from<double>(to);
    }
    return nullptr;
}

}  // namespace fb::cpu
