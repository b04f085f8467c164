// One row of softmax and its kin, for the kernels that are made of it. A row has one element at least.
//
// A nan need not be found as the maximum: where one is, the sum is nan, and so is all of the result. A maximum that is
// infinite gives inf - inf, which is nan too, as the reference kernels have it.
#pragma once

#include "cpu/rowpack.h"

namespace fb::cpu::rows {

template <class T> FB_INLINE T largest(const T* x, int64_t n) {
    constexpr T low = -std::numeric_limits<T>::infinity();
    auto join = [](Pack<T> a, Pack<T> b) { return larger(a, b); };
    return largest_of(fold_packs<T>(
        n, low, [&](Pack<T> top, int64_t i, auto count) { return larger(top, get(x + i, count, low)); }, join));
}

template <class T> FB_INLINE T log_of(T x) { return log<T>(splat(x))[0]; }

// The sum of exp(x - top); `keep(i, count, exponential)` sees each pack.
template <class T, class F> FB_INLINE T sum_of_exp(const T* x, int64_t n, T top, F&& keep) {
    return sum_of(add_packs<T>(n, [&](Pack<T> total, int64_t i, auto count) {
        Pack<T> e = exp(get(x + i, count) - Pack<T>(top));
        keep(i, count, e);
        return total + within(e, count);
    }));
}

template <class T> FB_INLINE void softmax_row(const T* x, T* y, int64_t n) {
    if (n <= Pack<T>::size) {  // in registers
        constexpr T low = -std::numeric_limits<T>::infinity();
        Pack<T> v = load_part(x, n, low);
        Pack<T> e = exp(v - Pack<T>(largest_of(v)));
        e = first(e, n, Pack<T>(0));
        store_part(y, n, e / Pack<T>(sum_of(e)));
        return;
    }
    T total = sum_of_exp(x, n, largest(x, n), [&](int64_t i, auto count, auto e) { put(y + i, count, e); });
    Pack<T> factor(1 / total);
    for_packs<T>(n, [&](int64_t i, auto count) { put(y + i, count, get(y + i, count) * factor); });
}

template <class T> FB_INLINE void log_softmax_row(const T* x, T* y, int64_t n) {
    T top = largest(x, n);
    Pack<T> total(log_of(sum_of_exp(x, n, top, [](int64_t, auto, auto) {})));
    for_packs<T>(n, [&](int64_t i, auto count) { put(y + i, count, get(x + i, count) - Pack<T>(top) - total); });
}

}  // namespace fb::cpu::rows
