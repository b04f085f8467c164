// Sine and cosine of a vector of angles in radians.
#pragma once

#include "cpu/math.h"

namespace fb::cpu::math {

// x = n pi/2 + r, |r| <= pi/4, pi/2 in three parts: with fma the first subtraction is exact and the others round once.
// Up to 65536 that n is exact enough; larger numbers, inf and nan go to the C library, as all do on a CPU without fma.
// The polynomials are (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 in r^2, of double Taylor's.
// Error < 1.4 eps.
template <class T> struct Angle;
template <> struct Angle<float> {
    static constexpr float half_pi[] = {1.57079637050628662109375f, -4.371138828673793e-8f, -1.7151245100058819e-15f};
    static constexpr float sine[] = {-0.16666653752326965f, 0.008332113735377789f, -0.0001950877340277657f};
    static constexpr float cosine[] = {0.04166664555668831f, -0.0013887251261621714f, 2.4425718947895803e-05f};
    static float sin(float x) { return ::sinf(x); }
    static float cos(float x) { return ::cosf(x); }
};
template <> struct Angle<double> {
    static constexpr double half_pi[] = {1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33};
    static constexpr double sine[] = {-1.0 / 6,           1.0 / 120,           -1.0 / 5040,           1.0 / 362880,
                                      -1.0 / 39916800,    1.0 / 6227020800,    -1.0 / 1307674368000,  1.0 / 355687428096000};
    static constexpr double cosine[] = {1.0 / 24,          -1.0 / 720,       1.0 / 40320,         -1.0 / 3628800,
                                        1.0 / 479001600,   -1.0 / 87178291200, 1.0 / 20922789888000};
    static double sin(double x) { return ::sin(x); }
    static double cos(double x) { return ::cos(x); }
};

template <class T, bool cosine> inline vec<T> sin_cos(vec<T> x) {
    using A = Angle<T>;
    auto within = magnitude(x) <= splat(T(has_fma ? 65536 : -1));
    vec<T> y = within ? x : vec<T>{};
    vec<T> n = nearest(y * splat(T(0.63661977236758134308)));
    vec<T> r = mul_add(n, splat(-A::half_pi[0]), y);
    r = mul_add(n, splat(-A::half_pi[1]), r);
    r = mul_add(n, splat(-A::half_pi[2]), r);
    vec<T> t = r * r;
    vec<T> s = mul_add(r * t, polynomial(A::sine, t), r);
    vec<T> c = mul_add(t * t, polynomial(A::cosine, t), mul_add(t, splat(T(-0.5)), splat(T(1))));
    auto quadrant = whole(n) + (cosine ? 1 : 0);
    vec<T> v = (quadrant & 1) != 0 ? c : s;
    v = (vec<T>)((decltype(quadrant))v ^ ((quadrant & 2) << (8 * sizeof(T) - 2)));
    if (!cosine) v = x == vec<T>{} ? x : v;  // -0
    if (__builtin_expect(!every(within), 0)) {
        for (int i = 0; i < lanes<T>; i++)
            if (!within[i]) v[i] = cosine ? A::cos(x[i]) : A::sin(x[i]);
    }
    return v;
}

}  // namespace fb::cpu::math
