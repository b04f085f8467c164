// Functions of two vectors: power, and division with a remainder.
#pragma once

#include "cpu/math.h"

namespace fb::cpu::math {

typedef float Half __attribute__((vector_size(FB_VECTOR_BYTES / 2)));

// GCC takes the conversions of such vectors apart.
inline D widened(Half x) {
#if defined(__AVX512F__)
    return (D)_mm512_maskz_cvtps_pd(0xff, (__m256)x);
#elif defined(__AVX__)
    return (D)_mm256_cvtps_pd((__m128)x);
#else
    return __builtin_convertvector(x, D);
#endif
}
inline Half narrowed(D x) {
#if defined(__AVX512F__)
    return (Half)_mm512_maskz_cvtpd_ps(0xff, (__m512d)x);
#elif defined(__AVX__)
    return (Half)_mm256_cvtpd_ps((__m256d)x);
#else
    return __builtin_convertvector(x, Half);
#endif
}

// |x|^y = 2^(y log2 |x|) in double, for finite x other than 0. log2(2^k m) = k + log2 m, by atanh's series in
// s = (m - 1) / (m + 1), s^2 <= 0.0295, up to s^13: 2^-39; 2^r by Taylor up to r^9: 2^-37. y log2 x is below 2^8 where
// the result is a float, so its relative error stays below 2^-30 before it is rounded.
inline Half power_half(Half from, Half exponent) {
    constexpr double p[] = {2.8853900817779268,  0.9617966939259756,  0.5770780163555854, 0.41219858311113243,
                            0.32059889797532520, 0.26230818925253880, 0.22195308321368668};
    constexpr double q[] = {1.0,
                            0.6931471805599453,
                            0.2402265069591007,
                            0.05550410866482158,
                            0.009618129107628477,
                            0.0013333558146428443,
                            0.0001540353039338161,
                            1.5252733804059841e-05,
                            1.3215486790144307e-06,
                            1.0178086009239699e-07};
    D x = magnitude(widened(from)), y = widened(exponent);
    L k = ((L)x - 0x3fe6a09e667f3bcd) >> 52;
    D m = (D)((L)x - (k << 52)), s = (m - 1) / (m + 1);
    D whole_part = (D)(k + (L)splat(6755399441055744.0)) - splat(6755399441055744.0);
    D t = y * mul_add(s, polynomial(p, s * s), whole_part);
    t = t > splat(200.0) ? splat(200.0) : t;
    t = t < splat(-200.0) ? splat(-200.0) : t;
    D n = nearest(t);
    return narrowed(scale(polynomial(q, t - n), n));
}

inline F power_of_magnitudes(F x, F y) {
    Half a[2], b[2], r[2];
    std::memcpy(a, &x, sizeof x);
    std::memcpy(b, &y, sizeof y);
    r[0] = power_half(a[0], b[0]);
    r[1] = power_half(a[1], b[1]);
    F v;
    std::memcpy(&v, r, sizeof v);
    return v;
}

// The same for double, where log2 x has to be known to 2^-63: all large terms are sums of two doubles (Dekker, "A
// floating-point technique for extending the available precision", 1971), the terms from s^5 on are one. It needs fma.
inline D power_of_magnitudes(D x, D y) {
    // 1/5 + z/7 + ..., up to z^9 / 23: z <= 0.0295 leaves 2^-58 of 1/5.
    constexpr double p[] = {1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21,
                            1.0 / 23};
    constexpr double q[] = {1.0,
                            0.6931471805599453,
                            0.24022650695910072,
                            0.05550410866482158,
                            0.009618129107628477,
                            0.0013333558146428443,
                            0.0001540353039338161,
                            1.5252733804059841e-05,
                            1.321548679014431e-06,
                            1.01780860092397e-07,
                            7.054911620801123e-09,
                            4.4455382718708116e-10,
                            2.5678435993488206e-11,
                            1.3691488853904128e-12};
    const D c = splat(2.8853900817779268), c_low = splat(4.0710547481862066e-17);            // 2 / ln 2
    const D third = splat(0.3333333333333333), third_low = splat(1.850371707708594e-17);
    x = magnitude(x);
    L small = x < splat(std::numeric_limits<double>::min());
    x = small ? x * splat(4503599627370496.0) : x;
    L exponent = ((L)x - 0x3fe6a09e667f3bcd) >> 52;
    D f = (D)((L)x - (exponent << 52)) - 1;
    D k = (D)(exponent - (small & 52) + (L)splat(6755399441055744.0)) - splat(6755399441055744.0);

    D d = f + 2, d_low = f - (d - 2);
    D s = f / d, s_low = (mul_add(-s, d, f) - s * d_low) / d;
    D z = s * s, z_low = mul_add(s, s, -z) + 2 * s * s_low;
    // log2(1 + f) = c s (1 + w), w = z / 3 + z^2 p(z)
    D w1 = z * third, w2 = z * z * polynomial(p, z);
    D w = w1 + w2;
    D w_low = (w1 - w) + w2 + (mul_add(z, third, -w1) + (z * third_low + z_low * third));
    D u = w + 1, u_low = (1 - u) + w + w_low;
    D cs = c * s, cs_low = mul_add(c, s, -cs) + (s * c_low + s_low * c);
    D l = cs * u, l_low = mul_add(cs, u, -l) + (cs * u_low + cs_low * u);
    D log = k + l, log_low = (k - log) + l + l_low;

    D t = y * log, t_low = mul_add(y, log, -t) + y * log_low;
    L beyond = magnitude(t) > splat(1200.0);
    t_low = beyond ? D{} : t_low;
    t = beyond ? with_sign(splat(1200.0), t) : t;
    D n = nearest(t);
    return scale(polynomial(q, (t - n) + t_low), n);
}

// Error < 0.6 eps; of double < 1.5 eps. 0, inf and nan, and whatever has one of them or a huge number as exponent, go to
// the C library, as do all doubles where there is no fma.
inline float power_each(float x, float y) { return ::powf(x, y); }
inline double power_each(double x, double y) { return ::pow(x, y); }

template <class T> inline vec<T> power(vec<T> x, vec<T> y) {
    const vec<T> huge = splat(std::numeric_limits<T>::max()), zero = {};
    constexpr bool works = sizeof(T) == 4 || has_fma;
    vec<T> limit = splat(T(!works ? 0 : sizeof(T) == 4 ? 4194304.0 : 1125899906842624.0));
    auto usual = (magnitude(x) <= huge) & (x != zero) & (magnitude(y) < limit);
    vec<T> exponent = usual ? y : zero, v = power_of_magnitudes(x, exponent);
    // Of negative numbers: nan unless y is whole, negative where it is odd.
    vec<T> n = nearest(exponent);
    auto negative = x < zero;
    auto odd = whole(n) << (8 * sizeof(T) - 1);
    v = (vec<T>)((decltype(odd))v ^ (negative & odd));
    v = (negative & (n != exponent)) != 0 ? splat(std::numeric_limits<T>::quiet_NaN()) : v;
    if (__builtin_expect(!every(usual), 0)) {
        for (int i = 0; i < lanes<T>; i++)
            if (!usual[i]) v[i] = power_each(x[i], y[i]);
    }
    return v;
}

// ------------------------------------------------------------------------------------------------ division

// As NumPy defines them: the quotient rounded down, and a remainder with the sign of the divisor.
template <class T> T remainder_of(T a, T b) {
    T r = std::fmod(a, b);
    if (b == 0) return r;
    if (r == 0) return std::copysign(T(0), b);
    return (b < 0) != (r < 0) ? r + b : r;
}
template <class T> T floor_of(T a, T b) {
    if (b == 0) return a / b;
    T r = std::fmod(a, b), quotient = (a - r) / b;
    if (r != 0 && (b < 0) != (r < 0)) quotient -= 1;
    if (quotient == 0) return std::copysign(T(0), a / b);
    T down = std::floor(quotient);
    return quotient - down > T(0.5) ? down + 1 : down;
}

// With n the whole number nearest to a / b, a - n b is exact by fma: it is no larger than b and a multiple of the last
// place of b (or n is 0 or 1). So both results are those of the functions above, to the bit. Quotients that are too
// large for that, inf and nan are left to them.
template <class T, bool quotient> inline vec<T> divide_down(vec<T> a, vec<T> b) {
    const vec<T> huge = splat(std::numeric_limits<T>::max()), zero = {};
    vec<T> q = a / b, n = nearest(q), r = mul_add(-n, b, a), v;
    auto below = (r != zero) & ((r < zero) != (b < zero));
    if (quotient) {
        v = below ? n - 1 : n;
        v = v == zero ? with_sign(zero, q) : v;
    } else {
        v = below ? r + b : r;
        v = r == zero ? with_sign(zero, b) : v;
    }
    auto usual = (magnitude(q) < splat(T(has_fma ? 1 << 22 : 0))) & (magnitude(b) <= huge);
    if (__builtin_expect(!every(usual), 0)) {
        for (int i = 0; i < lanes<T>; i++)
            if (!usual[i]) v[i] = quotient ? floor_of(a[i], b[i]) : remainder_of(a[i], b[i]);
    }
    return v;
}

}  // namespace fb::cpu::math
