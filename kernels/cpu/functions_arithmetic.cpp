// Arithmetic on floats, int32, int64 and bool (as uint8_t 0 and 1).
#include "cpu/arithmetic.h"
#include "cpu/functions.h"
#include "cpu/math_binary.h"

namespace fb::cpu {

namespace {

template <class T> struct Absolute {
    static vec<T> of(vec<T> a) {
        if constexpr (std::is_integral_v<T>) return a < vec<T>{} ? Negative<T>::of(a) : a;
        else if constexpr (sizeof(T) == 4) return (vec<T>)((vec<int32_t>)a & splat<int32_t>(0x7fffffff));
        else return (vec<T>)((vec<int64_t>)a & splat<int64_t>(0x7fffffffffffffff));
    }
};
template <class T> struct Sign {
    static vec<T> of(vec<T> a) {
        vec<T> zero = {}, one = splat<T>(1), r = a > zero ? one : zero;
        r = a < zero ? Negative<T>::of(one) : r;
        if constexpr (std::is_floating_point_v<T>) r = a != a ? a : r;
        return r;
    }
};

// As NumPy defines them; of integers by 0 both are 0.
template <class T> struct Remainder {
    static vec<T> of(vec<T> a, vec<T> b) { return math::divide_down<T, false>(a, b); }
    static T of(T a, T b) {
        if (b == 0 || b == -1) return 0;
        T r = a % b;
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
};
template <class T> struct FloorDivide {
    static vec<T> of(vec<T> a, vec<T> b) { return math::divide_down<T, true>(a, b); }
    static T of(T a, T b) {
        if (b == 0) return 0;
        if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));
        return a / b - (a % b != 0 && (a < 0) != (b < 0));
    }
};

// Vectors have no whole division.
template <class T, class F> Function division(int scalars) {
    if constexpr (std::is_integral_v<T>) return each_variant<T, T, F>(scalars);
    else return binary_variant<T, F>(scalars);
}

template <class T> Function number(Op op, int scalars) {
    switch (op) {
        case Op::add: return binary_variant<T, Add<T>>(scalars);
        case Op::subtract: return binary_variant<T, Subtract<T>>(scalars);
        case Op::multiply: return binary_variant<T, Multiply<T>>(scalars);
        case Op::floor_divide: return division<T, FloorDivide<T>>(scalars);
        case Op::remainder: return division<T, Remainder<T>>(scalars);
        case Op::minimum: return binary_variant<T, Minimum<T>>(scalars);
        case Op::maximum: return binary_variant<T, Maximum<T>>(scalars);
        case Op::negative: return unary<T, Negative<T>>;
        case Op::absolute: return unary<T, Absolute<T>>;
        case Op::sign: return unary<T, Sign<T>>;
        default: return nullptr;
    }
}

Function flag(Op op, int scalars) {
    switch (op) {
        case Op::add: case Op::maximum: return binary_variant<uint8_t, Add<uint8_t>>(scalars);
        case Op::multiply: case Op::minimum: return binary_variant<uint8_t, Multiply<uint8_t>>(scalars);
        default: return nullptr;
    }
}

}  // namespace

Function arithmetic_function(Op op, DType t, int scalars) {
    switch (t) {
        case DType::b1: return flag(op, scalars);
        case DType::i32: return number<int32_t>(op, scalars);
        case DType::i64: return number<int64_t>(op, scalars);
        case DType::f32:
            return op == Op::divide ? binary_variant<float, Divide<float>>(scalars) : number<float>(op, scalars);
        case DType::f64:
            return op == Op::divide ? binary_variant<double, Divide<double>>(scalars) : number<double>(op, scalars);
        default: return nullptr;
    }
}

}  // namespace fb::cpu
