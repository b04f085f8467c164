// Rows as packs: 64 bytes of floats at a time.
//
// A `Pack` has 16 floats or 8 doubles whatever the CPU: one vector or several. So sums over the lanes of a pack are
// added in the same order everywhere, and rows that do not fill their last pack go through the very same instructions.
#pragma once

#include "cpu/rowmath.h"

#include <utility>

namespace fb::cpu::rows {

template <class T> struct Pack {
    static constexpr int size = 64 / sizeof(T), count = 64 / vector_bytes;
    vec<T> v[count];

    Pack() = default;
    FB_INLINE explicit Pack(T x) {
        for (auto& each : v) each = splat(x);
    }
};

#define FB_EACH for (int i = 0; i < Pack<T>::count; i++)
#define FB_BINARY(name, expression)                                     \
    template <class T> FB_INLINE Pack<T> name(Pack<T> a, Pack<T> b) {   \
        Pack<T> r;                                                      \
        FB_EACH r.v[i] = expression;                                    \
        return r;                                                       \
    }
#define FB_UNARY(name, expression)                            \
    template <class T> FB_INLINE Pack<T> name(Pack<T> a) {    \
        Pack<T> r;                                            \
        FB_EACH r.v[i] = expression;                          \
        return r;                                             \
    }
FB_BINARY(operator+, a.v[i] + b.v[i])
FB_BINARY(operator-, a.v[i] - b.v[i])
FB_BINARY(operator*, a.v[i] * b.v[i])
FB_BINARY(operator/, a.v[i] / b.v[i])
FB_BINARY(larger, larger<T>(a.v[i], b.v[i]))
FB_BINARY(gated_tanh, gated_tanh<T>(a.v[i], b.v[i]))
FB_UNARY(operator-, -a.v[i])
FB_UNARY(exp, exp<T>(a.v[i]))
FB_UNARY(log, log<T>(a.v[i]))
FB_UNARY(tanh, tanh<T>(a.v[i]))
FB_UNARY(sigmoid, sigmoid<T>(a.v[i]))
#undef FB_BINARY
#undef FB_UNARY

template <class T> FB_INLINE Pack<T> muladd(Pack<T> a, Pack<T> b, Pack<T> c) {
    Pack<T> r;
    FB_EACH r.v[i] = muladd(a.v[i], b.v[i], c.v[i]);
    return r;
}

// All bits of the lanes before n, in vector i of a pack.
template <class T, int... lane> FB_INLINE bits<T> numbered(std::integer_sequence<int, lane...>) {
    return bits<T>{lane...};
}
template <class T> FB_INLINE bits<T> before(int64_t n, int i) {
    bits<T> lane = numbered<T>(std::make_integer_sequence<int, lanes<T>>());
    return lane < static_cast<typename Bits<T>::type>(n - i * lanes<T>);
}

// The lanes before n of a, the others of b.
template <class T> FB_INLINE Pack<T> first(Pack<T> a, int64_t n, Pack<T> b) {
    Pack<T> r;
    FB_EACH r.v[i] = before<T>(n, i) ? a.v[i] : b.v[i];
    return r;
}

template <class T> FB_INLINE Pack<T> load_pack(const T* p) {
    Pack<T> r;
    FB_EACH r.v[i] = load(p + i * lanes<T>);
    return r;
}
template <class T> FB_INLINE void store_pack(T* p, Pack<T> a) { FB_EACH store(p + i * lanes<T>, a.v[i]); }

// n lanes of memory, 0 < n <= size; the others are `fill`.
template <class T> FB_INLINE Pack<T> load_part(const T* p, int64_t n, T fill = 0) {
    Pack<T> r(fill);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        r.v[0] = (vec<T>)_mm512_mask_loadu_ps((__m512)r.v[0], (1u << n) - 1, p);
    else
        r.v[0] = (vec<T>)_mm512_mask_loadu_pd((__m512d)r.v[0], (1u << n) - 1, p);
#elif defined(__AVX2__)
    FB_EACH {
        bits<T> in = before<T>(n, i);
        if constexpr (sizeof(T) == 4)
            r.v[i] = in ? (vec<T>)_mm256_maskload_ps(p + i * lanes<T>, (__m256i)in) : r.v[i];
        else
            r.v[i] = in ? (vec<T>)_mm256_maskload_pd(p + i * lanes<T>, (__m256i)in) : r.v[i];
    }
#else
    alignas(64) T held[Pack<T>::size];
    store_pack(held, r);
    for (int64_t i = 0; i < n; i++) held[i] = p[i];
    r = load_pack(held);
#endif
    return r;
}
template <class T> FB_INLINE void store_part(T* p, int64_t n, Pack<T> a) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        _mm512_mask_storeu_ps(p, (1u << n) - 1, (__m512)a.v[0]);
    else
        _mm512_mask_storeu_pd(p, (1u << n) - 1, (__m512d)a.v[0]);
#elif defined(__AVX2__)
    FB_EACH {
        if constexpr (sizeof(T) == 4)
            _mm256_maskstore_ps(p + i * lanes<T>, (__m256i)before<T>(n, i), (__m256)a.v[i]);
        else
            _mm256_maskstore_pd(p + i * lanes<T>, (__m256i)before<T>(n, i), (__m256d)a.v[i]);
    }
#else
    alignas(64) T held[Pack<T>::size];
    store_pack(held, a);
    for (int64_t i = 0; i < n; i++) p[i] = held[i];
#endif
}

// The lanes of v, turned by `by`.
template <class T, int by, int... lane> FB_INLINE vec<T> turned(vec<T> v, std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(v, v, (lane + by) % lanes<T>...);
}
template <class T, int half, class F> FB_INLINE vec<T> folded(vec<T> v, F&& f) {
    if constexpr (half == 0)
        return v;
    else
        return folded<T, half / 2>(f(v, turned<T, half>(v, std::make_integer_sequence<int, lanes<T>>())), f);
}
// The lanes halved again and again, in an order that no CPU changes.
template <class T, class F> FB_INLINE T fold(Pack<T> a, F&& f) {
#pragma GCC unroll 4
    for (int half = Pack<T>::count / 2; half; half /= 2)
#pragma GCC unroll 4
        for (int i = 0; i < half; i++) a.v[i] = f(a.v[i], a.v[i + half]);
    return folded<T, lanes<T> / 2>(a.v[0], f)[0];
}
template <class T> FB_INLINE T sum_of(Pack<T> a) {
    return fold(a, [](vec<T> x, vec<T> y) { return x + y; });
}
template <class T> FB_INLINE T largest_of(Pack<T> a) {
    return fold(a, [](vec<T> x, vec<T> y) { return larger<T>(x, y); });
}

// f(i, n) for each pack of a row: it starts at i and has n lanes in the row; only the last has less than all.
template <class T, class F> FB_INLINE void for_packs(int64_t n, F&& f) {
    constexpr int64_t size = Pack<T>::size;
    int64_t i = 0;
    for (; i + size <= n; i += size) f(i, std::integral_constant<int64_t, size>());
    if (i < n) f(i, n - i);
}

// Loads and stores for `for_packs`: whole packs where n is a constant.
template <class T, int64_t N> FB_INLINE Pack<T> get(const T* p, std::integral_constant<int64_t, N>, T = 0) {
    return load_pack(p);
}
template <class T> FB_INLINE Pack<T> get(const T* p, int64_t n, T fill = 0) { return load_part(p, n, fill); }
template <class T, int64_t N> FB_INLINE void put(T* p, std::integral_constant<int64_t, N>, Pack<T> a) {
    store_pack(p, a);
}
template <class T> FB_INLINE void put(T* p, int64_t n, Pack<T> a) { store_part(p, n, a); }
// a with zeros where the row has ended.
template <class T, int64_t N> FB_INLINE Pack<T> within(Pack<T> a, std::integral_constant<int64_t, N>) { return a; }
template <class T> FB_INLINE Pack<T> within(Pack<T> a, int64_t n) { return first(a, n, Pack<T>(0)); }

// A row folded into one pack: total = term(total, i, n) for its packs, in two chains that do not wait for each other.
template <class T, class F, class Join> FB_INLINE Pack<T> fold_packs(int64_t n, T start, F&& term, Join&& join) {
    constexpr int64_t size = Pack<T>::size;
    constexpr std::integral_constant<int64_t, size> whole;
    Pack<T> a(start), b(start);
    int64_t i = 0;
    for (; i + 2 * size <= n; i += 2 * size) {
        a = term(a, i, whole);
        b = term(b, i + size, whole);
    }
    if (i + size <= n) {
        a = term(a, i, whole);
        i += size;
    }
    if (i < n) b = term(b, i, n - i);
    return join(a, b);
}
template <class T, class F> FB_INLINE Pack<T> add_packs(int64_t n, F&& term) {
    return fold_packs<T>(n, T(0), term, [](Pack<T> a, Pack<T> b) { return a + b; });
}

#undef FB_EACH

}  // namespace fb::cpu::rows
