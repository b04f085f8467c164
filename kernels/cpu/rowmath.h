// exp, log, tanh and the logistic function on one vector; with `pack.h`, on rows.
//
// exp:   x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts (Cody and Waite, "Software Manual for the Elementary
//        Functions", 1980); e^r by its Taylor series, whose remainder is below 0.1 ulp. Bound: 1.1 ulp, subnormals too.
// log:   x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f): log m = f - f^2/2 + s (f^2/2 + R(s^2)),
//        the arrangement of Ng in FDLIBM (e_log.c), with R from the series of artanh. Bound: 1 ulp.
// tanh:  q / (q + 2) with q = e^(2|x|) - 1, which is computed without cancellation. Bound: 3 ulp.
// sigmoid: 1 / (1 + e^-x). Bound: 2.5 ulp; results below the normal numbers are 0.
// The bounds were measured on 70 million floats of all sizes and 3 million doubles; those without an FMA unit are the
// same.
#pragma once

#include "cpu/simd.h"

#include <limits>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fb::cpu::rows {

#define FB_INLINE inline __attribute__((always_inline))

template <class T> struct Bits;
template <> struct Bits<float> { using type = int32_t; };
template <> struct Bits<double> { using type = int64_t; };
template <class T> using bits = vec<typename Bits<T>::type>;

// a * b + c, rounded once where the CPU can.
FB_INLINE vec<float> muladd(vec<float> a, vec<float> b, vec<float> c) {
#if defined(__AVX512F__)
    return (vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}
FB_INLINE vec<double> muladd(vec<double> a, vec<double> b, vec<double> c) {
#if defined(__AVX512F__)
    return (vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    return (vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

// a > b ? a : b, so b where one is nan. (Unmasked, GCC 12 warns of its own header.)
template <class T> FB_INLINE vec<T> larger(vec<T> a, vec<T> b) { return a > b ? a : b; }
#if defined(__AVX512F__)
template <> FB_INLINE vec<float> larger<float>(vec<float> a, vec<float> b) {
    return (vec<float>)_mm512_mask_max_ps((__m512)a, 0xffff, (__m512)a, (__m512)b);
}
template <> FB_INLINE vec<double> larger<double>(vec<double> a, vec<double> b) {
    return (vec<double>)_mm512_mask_max_pd((__m512d)a, 0xff, (__m512d)a, (__m512d)b);
}
#elif defined(__AVX__)
template <> FB_INLINE vec<float> larger<float>(vec<float> a, vec<float> b) {
    return (vec<float>)_mm256_max_ps((__m256)a, (__m256)b);
}
template <> FB_INLINE vec<double> larger<double>(vec<double> a, vec<double> b) {
    return (vec<double>)_mm256_max_pd((__m256d)a, (__m256d)b);
}
#elif defined(__SSE2__)
template <> FB_INLINE vec<float> larger<float>(vec<float> a, vec<float> b) {
    return (vec<float>)_mm_max_ps((__m128)a, (__m128)b);
}
template <> FB_INLINE vec<double> larger<double>(vec<double> a, vec<double> b) {
    return (vec<double>)_mm_max_pd((__m128d)a, (__m128d)b);
}
#endif

template <class T> struct Real;
template <> struct Real<float> {
    static constexpr int mantissa = 23, bias = 127, exp_terms = 7, log_terms = 5, tiny = 25;
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the lowest bits
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440054690583e-4f;
    static constexpr float exp_low = -105.0f, exp_high = 89.0f, tanh_high = 20.0f, power_high = 87.0f;
};
template <> struct Real<double> {
    static constexpr int mantissa = 52, bias = 1023, exp_terms = 13, log_terms = 11, tiny = 54;
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6;
    static constexpr double exp_low = -746.0, exp_high = 710.0, tanh_high = 42.0, power_high = 708.0;
};

template <class T> constexpr T reciprocal_factorial(int n) {
    double product = 1;
    for (int i = 2; i <= n; i++) product *= i;
    return static_cast<T>(1 / product);
}

// e^r - 1 for the remainder r of x, and the n that goes with it.
template <class T> FB_INLINE vec<T> reduced_expm1(vec<T> x, bits<T>& n) {
    using R = Real<T>;
    vec<T> magic = splat(R::magic);
    vec<T> shifted = muladd(x, splat(static_cast<T>(1.44269504088896340736)), magic);
    n = (bits<T>)shifted - (bits<T>)magic;
    vec<T> whole = shifted - magic;
    vec<T> r = muladd(whole, splat(-R::ln2_high), x);
    r = muladd(whole, splat(-R::ln2_low), r);
    vec<T> p = splat(reciprocal_factorial<T>(R::exp_terms));
#pragma GCC unroll 16
    for (int i = R::exp_terms - 1; i >= 2; i--) p = muladd(p, r, splat(reciprocal_factorial<T>(i)));
    return muladd(p, r * r, r);
}

template <class T> FB_INLINE vec<T> power_of_two(bits<T> n) {
    return (vec<T>)((n + Real<T>::bias) << Real<T>::mantissa);
}

template <class T> FB_INLINE vec<T> exp(vec<T> x) {
    using R = Real<T>;
    x = larger<T>(splat(R::exp_low), x);  // in this order nan stays nan
    x = -larger<T>(splat(-R::exp_high), -x);
    bits<T> n;
    vec<T> p = reduced_expm1<T>(x, n) + splat(T(1));
    bits<T> half = n >> 1;  // in two steps: 2^n alone may be no normal number
    return p * power_of_two<T>(half) * power_of_two<T>(n - half);
}

// 1 + e^-x; infinite where that is nearly so.
template <class T> FB_INLINE vec<T> one_and_exp(vec<T> x) {
    using R = Real<T>;
    x = larger<T>(splat(-R::power_high), -x);
    x = -larger<T>(splat(-R::exp_high), -x);
    bits<T> n;
    vec<T> p = reduced_expm1<T>(x, n) + splat(T(1));
    return muladd(p, power_of_two<T>(n), splat(T(1)));
}

// q = e^(2|x|) - 1, with the sign of x.
template <class T> FB_INLINE vec<T> twice_expm1(vec<T> x) {
    using R = Real<T>;
    bits<T> sign = (bits<T>)x & (bits<T>)splat(T(-0.0));
    vec<T> y = (vec<T>)((bits<T>)x ^ sign);
    y = -larger<T>(splat(-R::tanh_high), -(y + y));
    bits<T> n;
    vec<T> q = reduced_expm1<T>(y, n), scale = power_of_two<T>(n);
    q = muladd(scale, q, scale - splat(T(1)));
    return (vec<T>)((bits<T>)q | sign);
}
template <class T> FB_INLINE vec<T> magnitude(vec<T> x) { return (vec<T>)((bits<T>)x & ~(bits<T>)splat(T(-0.0))); }

template <class T> FB_INLINE vec<T> tanh(vec<T> x) {
    vec<T> q = twice_expm1<T>(x);
    return q / (magnitude<T>(q) + splat(T(2)));
}

template <class T> FB_INLINE vec<T> sigmoid(vec<T> x) { return splat(T(1)) / one_and_exp<T>(x); }

// sigmoid(x) * tanh(y) with one division. Products below 1e-30 may come out as 0.
template <class T> FB_INLINE vec<T> gated_tanh(vec<T> x, vec<T> y) {
    vec<T> q = twice_expm1<T>(y);
    return q / (one_and_exp<T>(x) * (magnitude<T>(q) + splat(T(2))));
}

template <class T> FB_INLINE vec<T> log(vec<T> x) {
    using R = Real<T>;
    using I = typename Bits<T>::type;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    constexpr T lift = static_cast<T>(I{1} << R::tiny);
    bits<T> small = x < splat(std::numeric_limits<T>::min());
    bits<T> i = (bits<T>)(small ? x * splat(lift) : x);
    bits<T> k = (i - (bits<T>)splat(static_cast<T>(0.70710678118654752440))) >> R::mantissa;
    vec<T> f = (vec<T>)(i - (k << R::mantissa)) - splat(T(1));
    k -= small & R::tiny;
    vec<T> power = __builtin_convertvector(k, vec<T>);
    vec<T> s = f / (f + splat(T(2))), z = s * s, square = splat(T(0.5)) * f * f;
    vec<T> p = splat(static_cast<T>(2.0 / (2 * R::log_terms + 1)));
#pragma GCC unroll 16
    for (int j = R::log_terms - 1; j >= 1; j--) p = muladd(p, z, splat(static_cast<T>(2.0 / (2 * j + 1))));
    vec<T> low = muladd(s, muladd(p, z, square), power * splat(R::ln2_low));
    vec<T> y = muladd(power, splat(R::ln2_high), f - (square - low));
    y = x < splat(infinity) ? y : x;
    y = x == splat(T(0)) ? splat(-infinity) : y;
    return x < splat(T(0)) ? splat(std::numeric_limits<T>::quiet_NaN()) : y;
}

}  // namespace fb::cpu::rows
