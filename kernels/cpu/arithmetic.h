// Arithmetic on vectors, as the loops of functions.h take it.
#pragma once

#include "cpu/simd.h"

#include <type_traits>

namespace fb::cpu {

// Integers wrap around, which C++ grants to unsigned ones only. A bool's sum is or, its product and.
template <class T> struct Add {
    static vec<T> of(vec<T> a, vec<T> b) {
        if constexpr (std::is_same_v<T, uint8_t>) return a | b;
        else if constexpr (std::is_integral_v<T>) {
            using U = vec<std::make_unsigned_t<T>>;
            return (vec<T>)((U)a + (U)b);
        } else return a + b;
    }
};
template <class T> struct Subtract {
    static vec<T> of(vec<T> a, vec<T> b) {
        if constexpr (std::is_integral_v<T>) {
            using U = vec<std::make_unsigned_t<T>>;
            return (vec<T>)((U)a - (U)b);
        } else return a - b;
    }
};
template <class T> struct Multiply {
    static vec<T> of(vec<T> a, vec<T> b) {
        if constexpr (std::is_same_v<T, uint8_t>) return a & b;
        else if constexpr (std::is_integral_v<T>) {
            using U = vec<std::make_unsigned_t<T>>;
            return (vec<T>)((U)a * (U)b);
        } else return a * b;
    }
};
template <class T> struct Divide {
    static vec<T> of(vec<T> a, vec<T> b) { return a / b; }
};
// nan wins; of equals (0 and -0) the second is taken.
template <class T> struct Minimum {
    static vec<T> of(vec<T> a, vec<T> b) {
        if constexpr (std::is_integral_v<T>) return a < b ? a : b;
        else {
            vec<T> r = a < b ? a : b;  // b where one of them is nan
            return a != a ? a : r;
        }
    }
};
template <class T> struct Maximum {
    static vec<T> of(vec<T> a, vec<T> b) {
        if constexpr (std::is_integral_v<T>) return a > b ? a : b;
        else {
            vec<T> r = a > b ? a : b;
            return a != a ? a : r;
        }
    }
};
template <class T> struct Negative {
    static vec<T> of(vec<T> a) {
        if constexpr (std::is_integral_v<T>) return Subtract<T>::of(vec<T>{}, a);
        else return -a;
    }
};

}  // namespace fb::cpu
