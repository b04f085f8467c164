// The functions that an elementwise program is made of: each a loop over one block, chosen once by opcode and dtype.
#pragma once

#include "cpu/simd.h"
#include "runtime/types.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace fb::cpu {

// flowbook/native/program.py has the same numbers.
enum class Op : int {
    cast, add, subtract, multiply, divide, floor_divide, remainder, power, minimum, maximum,
    negative, absolute, sign, sqrt, sin, cos, exp, log, log1p, tanh, sigmoid, gelu,
    equal, not_equal, less, less_equal, isnan, isfinite, logical_not, where,
    reduce_sum, reduce_prod, reduce_max, reduce_min, reduce_mean,
};
constexpr int op_count = static_cast<int>(Op::reduce_mean) + 1;

// n elements of d from n of a, b and c, or from one of them, as the chosen variant has it. d may be one of a, b, c when
// their elements are of one size.
using Function = void (*)(void* d, const void* a, const void* b, const void* c, int64_t n);

// Which operands are one element for the whole block.
constexpr int scalar_a = 1, scalar_b = 2, scalar_c = 4;

// nullptr: there is none. `t` is the dtype that is computed in.
Function arithmetic_function(Op op, DType t, int scalars);
Function math_function(Op op, DType t, int scalars);
Function compare_function(Op op, DType t, int scalars);
Function where_function(DType t, int scalars);
Function cast_function(DType from, DType to);
// Two instructions in one loop: g(f(a, b)), g(f(a, b), c), or g(c, f(a, b)) where `swapped`; the same bits as apart.
Function pair_function(Op f, Op g, DType t, bool swapped, int scalars);
// One element n times; by size of an element.
Function fill_function(int64_t size);

// Nanoseconds for each element of a function, roughly.
double function_cost(Op op, DType t);

// ------------------------------------------------------------------------------------------------ for their loops

// The first n < lanes<T> elements of a vector; nothing beyond them is touched.
template <class T> inline vec<T> load_part(const T* p, int64_t n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return (vec<T>)_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
    else if constexpr (sizeof(T) == 8)
        return (vec<T>)_mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1), p);
    else
#endif
    {
        T buffer[lanes<T>] = {};
        std::memcpy(buffer, p, n * sizeof(T));
        return load(buffer);
    }
}

template <class T> inline void store_part(T* p, vec<T> v, int64_t n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1), (__m512i)v);
    else if constexpr (sizeof(T) == 8)
        _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1), (__m512i)v);
    else
#endif
    {
        T buffer[lanes<T>];
        store(buffer, v);
        std::memcpy(p, buffer, n * sizeof(T));
    }
}

template <class T, class F> void unary(void* d, const void* a, const void*, const void*, int64_t n) {
    auto to = static_cast<T*>(d);
    auto x = static_cast<const T*>(a);
    int64_t i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) store(to + i, F::of(load(x + i)));
    if (i < n) store_part(to + i, F::of(load_part(x + i, n - i)), n - i);
}

template <class T, class F, bool one_a, bool one_b>
void binary(void* d, const void* a, const void* b, const void*, int64_t n) {
    auto to = static_cast<T*>(d);
    auto x = static_cast<const T*>(a), y = static_cast<const T*>(b);
    vec<T> u = {}, v = {};
    if (one_a) u = splat(*x);
    if (one_b) v = splat(*y);
    int64_t i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) store(to + i, F::of(one_a ? u : load(x + i), one_b ? v : load(y + i)));
    if (i < n) {
        if (!one_a) u = load_part(x + i, n - i);
        if (!one_b) v = load_part(y + i, n - i);
        store_part(to + i, F::of(u, v), n - i);
    }
}

template <class T, class F> Function binary_variant(int scalars) {
    switch (scalars) {
        case 0: return binary<T, F, false, false>;
        case scalar_a: return binary<T, F, true, false>;
        case scalar_b: return binary<T, F, false, true>;
        default: return nullptr;
    }
}

// Element after element, for what has no vector form; R is what results.
template <class T, class R, class F, bool one_a, bool one_b>
void binary_each(void* d, const void* a, const void* b, const void*, int64_t n) {
    auto to = static_cast<R*>(d);
    auto x = static_cast<const T*>(a), y = static_cast<const T*>(b);
    T u = one_a ? *x : T{}, v = one_b ? *y : T{};
    FB_INDEPENDENT
    for (int64_t i = 0; i < n; i++) to[i] = F::of(one_a ? u : x[i], one_b ? v : y[i]);
}

template <class T, class R, class F> Function each_variant(int scalars) {
    switch (scalars) {
        case 0: return binary_each<T, R, F, false, false>;
        case scalar_a: return binary_each<T, R, F, true, false>;
        case scalar_b: return binary_each<T, R, F, false, true>;
        default: return nullptr;
    }
}

template <class T, class R, class F> void unary_each(void* d, const void* a, const void*, const void*, int64_t n) {
    auto to = static_cast<R*>(d);
    auto x = static_cast<const T*>(a);
    FB_INDEPENDENT
    for (int64_t i = 0; i < n; i++) to[i] = F::of(x[i]);
}

}  // namespace fb::cpu
