// What vector extensions have no words for: products and sums with one rounding, and parts of vectors.
#pragma once

#include "cpu/simd.h"

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace fb::cpu {

// a * b + c with one rounding, where the CPU of the variant has that.
#if defined(__AVX512F__)
inline vec<float> fused(vec<float> a, vec<float> b, vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline vec<double> fused(vec<double> a, vec<double> b, vec<double> c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__FMA__)
inline vec<float> fused(vec<float> a, vec<float> b, vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline vec<double> fused(vec<double> a, vec<double> b, vec<double> c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__ARM_NEON)
inline vec<float> fused(vec<float> a, vec<float> b, vec<float> c) { return vfmaq_f32(c, a, b); }
inline vec<double> fused(vec<double> a, vec<double> b, vec<double> c) { return vfmaq_f64(c, a, b); }
#else
inline vec<float> fused(vec<float> a, vec<float> b, vec<float> c) { return a * b + c; }
inline vec<double> fused(vec<double> a, vec<double> b, vec<double> c) { return a * b + c; }
#endif

// The same for one number.
template <class T> inline T fused_one(T a, T b, T c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

// The first `count` numbers at p, and zeros; nothing beyond is touched. 0 <= count <= lanes.
template <class T> inline vec<T> load_part(const T* p, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
    else
        return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), p);
#else
    T part[lanes<T>] = {};
    for (int i = 0; i < count; i++) part[i] = p[i];
    return load(part);
#endif
}

template <class T> inline void store_part(T* p, vec<T> v, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
    else
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1), v);
#else
    T part[lanes<T>];
    store(part, v);
    for (int i = 0; i < count; i++) p[i] = part[i];
#endif
}

}  // namespace fb::cpu
