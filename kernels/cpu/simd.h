// Vectors as wide as the variant of the CPU that this file is compiled for: `vec<float>`, `vec<double>`, ...
//
// Each file of this folder is compiled once for each variant, with the flags of that CPU. They are GCC's and Clang's
// vector extensions, so one text serves AVX-512, AVX2, SSE2 and NEON. `fma` is used everywhere or nowhere in a
// function, so that all variants with an FMA unit give the same bytes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// Before a loop: its iterations do not depend on one another, whatever the pointers.
#if defined(__clang__)
#define FB_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FB_INDEPENDENT _Pragma("GCC ivdep")
#endif

#if defined(__AVX512F__)
#define FB_VECTOR_BYTES 64
#elif defined(__AVX__)
#define FB_VECTOR_BYTES 32
#else
#define FB_VECTOR_BYTES 16
#endif

namespace fb::cpu {

constexpr int vector_bytes = FB_VECTOR_BYTES;

template <class T> struct Vector { typedef T type __attribute__((vector_size(FB_VECTOR_BYTES))); };
// `aligned(sizeof(T))`: may be loaded from anywhere; `may_alias`: from memory of any declared type.
template <class T> struct Loose {
    typedef T type __attribute__((vector_size(FB_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
};
template <class T> using vec = typename Vector<T>::type;

template <class T> constexpr int lanes = FB_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T> inline vec<T> load(const T* p) { return *reinterpret_cast<const typename Loose<T>::type*>(p); }
template <class T> inline void store(T* p, vec<T> v) { *reinterpret_cast<typename Loose<T>::type*>(p) = v; }
template <class T> inline vec<T> splat(T x) { return x - vec<T>{}; }

}  // namespace fb::cpu
