// Elementary functions of one vector, branch-free where one text can serve every element.
//
// Bounds are of the largest error in eps * |result| (eps = 2^-23 or 2^-52); tests/kernels/test_math.py checks them.
// Coefficients were fitted for these files by iteratively reweighted least squares on Chebyshev nodes, or are Taylor's.
// All elements of a vector are computed alike, so an element's bits do not depend on its place.
#pragma once

#include "cpu/simd.h"

#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fb::cpu::math {

typedef vec<float> F;
typedef vec<double> D;
typedef vec<int32_t> I;
typedef vec<int64_t> L;

// a * b + c with one rounding where the CPU can, with two elsewhere.
inline F mul_add(F a, F b, F c) {
#if defined(__AVX512F__)
    return (F)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (F)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(FP_FAST_FMAF)
    F r;
    for (int i = 0; i < lanes<float>; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
}

inline D mul_add(D a, D b, D c) {
#if defined(__AVX512F__)
    return (D)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (D)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(FP_FAST_FMA)
    D r;
    for (int i = 0; i < lanes<double>; i++) r[i] = __builtin_fma(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
}

#if defined(__FMA__) || defined(FP_FAST_FMAF)
constexpr bool has_fma = true;
#else
constexpr bool has_fma = false;
#endif

// c[0] + c[1] x + ..., by Horner's rule.
template <class T, int n> inline vec<T> polynomial(const T (&c)[n], vec<T> x) {
    vec<T> r = splat<T>(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) r = mul_add(r, x, splat<T>(c[i]));
    return r;
}

inline F magnitude(F x) { return (F)((I)x & splat<int32_t>(0x7fffffff)); }
inline D magnitude(D x) { return (D)((L)x & splat<int64_t>(0x7fffffffffffffff)); }
inline F with_sign(F x, F sign) { return (F)((I)x | ((I)sign & splat<int32_t>(INT32_MIN))); }
inline D with_sign(D x, D sign) { return (D)((L)x | ((L)sign & splat<int64_t>(INT64_MIN))); }

// To the nearest whole number, for |x| < 2^22 (2^51): adding the number from which on the spacing is 1.
inline F nearest(F x) { return (x + splat(12582912.0f)) - splat(12582912.0f); }
inline D nearest(D x) { return (x + splat(6755399441055744.0)) - splat(6755399441055744.0); }

// Whether a mask, of integers of any size, holds everywhere.
template <class M> inline bool every(M condition) {
    const I mask = (I)condition;
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask) == 0xffff;
#elif defined(__AVX__)
    return _mm256_movemask_ps((__m256)mask) == 0xff;
#else
    int32_t all = -1;
    for (int i = 0; i < lanes<int32_t>; i++) all &= mask[i];
    return all != 0;
#endif
}

// The whole numbers that n is, as integers.
inline I whole(F n) { return __builtin_convertvector(n, I); }
// n + 1.5 * 2^52 has n in its low bits.
inline L whole(D n) { return (L)(n + splat(6755399441055744.0)) - (L)splat(6755399441055744.0); }

// x * 2^n for whole n, rounded once: the first of the two factors keeps x normal.
inline F scale(F x, F n) {
#if defined(__AVX512F__)
    return (F)_mm512_maskz_scalef_ps(0xffff, (__m512)x, (__m512)n);
#else
    I k = whole(n), half = k >> 1;
    return x * (F)((half + 127) << 23) * (F)((k - half + 127) << 23);
#endif
}
inline D scale(D x, D n) {
#if defined(__AVX512F__)
    return (D)_mm512_maskz_scalef_pd(0xff, (__m512d)x, (__m512d)n);
#else
    L k = whole(n), half = k >> 1;
    return x * (D)((half + 1023) << 52) * (D)((k - half + 1023) << 52);
#endif
}

inline F root(F x) {
#if defined(__AVX512F__)
    return (F)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(__AVX__)
    return (F)_mm256_sqrt_ps((__m256)x);
#else
    for (int i = 0; i < lanes<float>; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}
inline D root(D x) {
#if defined(__AVX512F__)
    return (D)_mm512_maskz_sqrt_pd(0xff, (__m512d)x);
#elif defined(__AVX__)
    return (D)_mm256_sqrt_pd((__m256d)x);
#else
    for (int i = 0; i < lanes<double>; i++) x[i] = __builtin_sqrt(x[i]);
    return x;
#endif
}

// ------------------------------------------------------------------------------------------------ exp

// exp(x) = 2^n exp(r), r = x - n ln 2 with ln 2 in two parts (Cody and Waite, "Software Manual for the Elementary
// Functions", 1980), the first so short that n times it is exact.
// float: error < 1.01 eps. double: Taylor to degree 13, error < 1.1 eps.
inline F exp_head(F x, F& n) {
    constexpr float p[] = {0.4999999403953552f, 0.16666515171527863f, 0.04166845604777336f, 0.008369418792426586f,
                           0.0013813143596053123f};
    n = nearest(x * splat(1.44269504088896341f));
    F r = mul_add(n, splat(-0.693359375f), x);
    r = mul_add(n, splat(2.12194440054690583e-4f), r);
    return mul_add(r * r, polynomial(p, r), r);  // exp(r) - 1
}
inline D exp_head(D x, D& n) {
    constexpr double p[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,        1.0 / 720,
                            1.0 / 5040,    1.0 / 40320,    1.0 / 362880,    1.0 / 3628800,    1.0 / 39916800,
                            1.0 / 479001600, 1.0 / 6227020800};
    n = nearest(x * splat(1.44269504088896340736));
    D r = mul_add(n, splat(-6.93147180369123816490e-1), x);
    r = mul_add(n, splat(-1.90821492927058770002e-10), r);
    return mul_add(r * r, polynomial(p, r), r);
}

// From here on the result is inf, or 0; nan stays, as no comparison holds.
inline F exp_range(F x) {
    x = x > splat(89.0f) ? splat(89.0f) : x;
    return x < splat(-104.0f) ? splat(-104.0f) : x;
}
inline D exp_range(D x) {
    x = x > splat(710.0) ? splat(710.0) : x;
    return x < splat(-746.0) ? splat(-746.0) : x;
}

template <class V> inline V exp(V x) {
    V n, e = exp_head(exp_range(x), n);
    return scale(e + 1, n);
}

// ------------------------------------------------------------------------------------------------ log

// log(2^k (1 + f)) with 1 + f from sqrt(1/2) to sqrt(2). float: f - f^2/2 + f^3 P(f), error < 1 eps.
constexpr float log_float[] = {0.3333333134651184f,  -0.25000837445259094f, 0.2000129222869873f,  -0.16622765362262726f,
                               0.14199696481227875f, -0.13164189457893372f, 0.12779106199741364f, -0.0764608234167099f};
inline F log(F x) {
    I small = x < splat(std::numeric_limits<float>::min());
    F y = small ? x * splat(8388608.0f) : x;
    I exponent = (I)((vec<uint32_t>)y - 0x3f3504f3u) >> 23;  // unsigned: it wraps for negative x
    F f = (F)((vec<uint32_t>)y - ((vec<uint32_t>)exponent << 23)) - 1;
    F k = __builtin_convertvector(exponent - (small & 23), F), square = f * f;
    F tail = mul_add(k, splat(-2.12194440054690583e-4f), f * square * polynomial(log_float, f));
    F r = mul_add(k, splat(0.693359375f), f - (0.5f * square - tail));
    r = x > splat(std::numeric_limits<float>::max()) ? x : r;
    r = x == F{} ? splat(-std::numeric_limits<float>::infinity()) : r;
    return x >= F{} ? r : splat(std::numeric_limits<float>::quiet_NaN());
}

// double: with s = f / (2 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), where s R = log(1 + f) - 2 s is atanh's
// series (as in Ng's log of fdlibm, 1993). s^2 <= 0.0295, so 10 terms leave 3e-18. Error < 1 eps.
constexpr double log_double[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11,
                                 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
inline D log(D x) {
    L small = x < splat(std::numeric_limits<double>::min());
    D y = small ? x * splat(4503599627370496.0) : x;
    L exponent = (L)((vec<uint64_t>)y - 0x3fe6a09e667f3bcdu) >> 52;
    D f = (D)((vec<uint64_t>)y - ((vec<uint64_t>)exponent << 52)) - 1;
    D k = (D)(exponent - (small & 52) + (L)splat(6755399441055744.0)) - splat(6755399441055744.0);
    D s = f / (f + 2), square = s * s, half = 0.5 * f * f;
    D r = square * polynomial(log_double, square);
    r = mul_add(k, splat(6.93147180369123816490e-1),
                f - (half - mul_add(s, half + r, k * splat(1.90821492927058770002e-10))));
    r = x > splat(std::numeric_limits<double>::max()) ? x : r;
    r = x == D{} ? splat(-std::numeric_limits<double>::infinity()) : r;
    return x >= D{} ? r : splat(std::numeric_limits<double>::quiet_NaN());
}

// ------------------------------------------------------------------------------------------------ log1p

// log(1 + x) is the logarithm of y, which is 1 + x rounded, and what the rounding left: error / y (as in Ng's log1p of
// fdlibm, 1993; the error is known exactly by Knuth's two-sum). Where y is from sqrt(1/2) to sqrt(2), 1 + f is 1 + x
// without any rounding. The sign is that of x, also for -0. Error < 0.7 eps.
template <class T> inline vec<T> log1p_of(vec<T> x, vec<T> r) {
    r = x > splat(std::numeric_limits<T>::max()) ? x : with_sign(r, x);
    r = x == splat(T(-1)) ? splat(-std::numeric_limits<T>::infinity()) : r;
    return x >= splat(T(-1)) ? r : splat(std::numeric_limits<T>::quiet_NaN());
}
inline F log1p(F x) {
    F y = 1 + x, d = y - 1, error = (1 - (y - d)) + (x - d);
    I exponent = (I)((vec<uint32_t>)y - 0x3f3504f3u) >> 23, near = exponent == 0;
    F f = near ? x : (F)((vec<uint32_t>)y - ((vec<uint32_t>)exponent << 23)) - 1;
    F k = __builtin_convertvector(exponent, F), left = near ? F{} : error / y, square = f * f;
    F tail = mul_add(k, splat(-2.12194440054690583e-4f), f * square * polynomial(log_float, f)) + left;
    return log1p_of<float>(x, mul_add(k, splat(0.693359375f), f - (0.5f * square - tail)));
}
inline D log1p(D x) {
    D y = 1 + x, d = y - 1, error = (1 - (y - d)) + (x - d);
    L exponent = (L)((vec<uint64_t>)y - 0x3fe6a09e667f3bcdu) >> 52, near = exponent == 0;
    D f = near ? x : (D)((vec<uint64_t>)y - ((vec<uint64_t>)exponent << 52)) - 1;
    D k = (D)(exponent + (L)splat(6755399441055744.0)) - splat(6755399441055744.0), left = near ? D{} : error / y;
    D s = f / (f + 2), square = s * s, half = 0.5 * f * f;
    D r = square * polynomial(log_double, square);
    D low = mul_add(k, splat(1.90821492927058770002e-10), left);
    return log1p_of<double>(x, mul_add(k, splat(6.93147180369123816490e-1), f - (half - mul_add(s, half + r, low))));
}

// ------------------------------------------------------------------------------------------------ tanh, sigmoid

// float: x P(x^2) / Q(x^2) up to 9.02, from where on tanh x rounds to 1. Error < 2.7 eps; never beyond 1.
inline F tanh(F x) {
    constexpr float p[] = {1.0f, 0.13379716873168945f, 0.0034940338227897882f, 2.0583471268764697e-05f,
                           1.331905785662002e-08f};
    constexpr float q[] = {1.0f, 0.4671303331851959f, 0.025871070101857185f, 0.000328309164615348f,
                           7.762013751744234e-07f};
    F t = x * x;
    F r = x * polynomial(p, t) / polynomial(q, t);
    r = magnitude(r) > splat(1.0f) ? with_sign(splat(1.0f), x) : r;
    return magnitude(x) > splat(9.02f) ? with_sign(splat(1.0f), x) : r;
}

// double: -m / (m + 2) with m = exp(-2 |x|) - 1, which is accurate near 0 too. Error < 3 eps.
inline D tanh(D x) {
    D y = -2 * magnitude(x);
    y = y < splat(-50.0) ? splat(-50.0) : y;
    D n, e = exp_head(y, n), power = scale(splat(1.0), n);
    D m = mul_add(power, e, power - 1);
    return with_sign(magnitude(-m / (m + 2)), x);
}

// 1 / (1 + exp(-x)), or exp(x) / (1 + exp(x)) for negative x: small results are as accurate as large ones.
// Error < 2.5 eps.
template <class V> inline V sigmoid(V x) {
    V e = exp(-magnitude(x)), one = e - e + 1;
    return (x < V{} ? e : one) / (1 + e);
}

// x times the sigmoid of 2u, u = sqrt(2/pi) (x + 0.044715 x^3): (1 + tanh u) / 2 without its cancellation. Errors of u
// count in full there, so the rounding errors on the way to 2u are carried along in `low`. Below 2u = -38.12 the
// tanh form is 0 in double. Error < 3 eps.
inline F gelu(F x) {
    const float c1 = 1.5957691216057308f, c3 = 0.07135481627260025f;
    F y = x > splat(16.0f) ? splat(16.0f) : x;
    y = y < splat(-16.0f) ? splat(-16.0f) : y;
    F t = y * y, product = c3 * t, s = product + c1;
    F u = y * s, low = {};
    if (has_fma) {
        F t_low = mul_add(y, y, -t), product_low = mul_add(splat(c3), t, -product);
        F part = s - c1, s_low = (c1 - (s - part)) + (product - part);  // Knuth's two-sum
        s_low += mul_add(splat(c3), t_low, product_low);
        s_low += mul_add(splat(float(0.07135481627260025 - c3)), t, splat(float(1.5957691216057308 - c1)));
        low = mul_add(y, s, -u) + y * s_low;
    }
    F e = exp(-magnitude(u));
    e = mul_add(e, u < F{} ? low : -low, e);
    F g = (u < F{} ? e : splat(1.0f)) / (1 + e);
    return x * (u < splat(-38.12f) ? F{} : g);
}

// In double the tanh form itself: so its oracle is written, whose noise for negative x is part of what it says.
inline D gelu(D x) {
    D inner = ((x * x * 0.044715) + 1) * x * 0.7978845608028654;
    return (tanh(inner) + 1) * x * 0.5;
}

}  // namespace fb::cpu::math
