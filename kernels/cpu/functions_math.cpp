// The elementary functions on float and double.
#include "cpu/functions.h"
#include "cpu/math_angle.h"
#include "cpu/math_binary.h"

namespace fb::cpu {

namespace {

#define FB_FUNCTION(name, expression)                    \
    template <class T> struct name {                     \
        static vec<T> of(vec<T> x) { return expression; } \
    };
FB_FUNCTION(Exp, math::exp(x))
FB_FUNCTION(Log, math::log(x))
FB_FUNCTION(LogOnePlus, math::log1p(x))
FB_FUNCTION(Tanh, math::tanh(x))
FB_FUNCTION(Sigmoid, math::sigmoid(x))
FB_FUNCTION(Gelu, math::gelu(x))
FB_FUNCTION(Sin, (math::sin_cos<T, false>(x)))
FB_FUNCTION(Cos, (math::sin_cos<T, true>(x)))
FB_FUNCTION(Root, math::root(x))
#undef FB_FUNCTION

template <class T> struct Power {
    static vec<T> of(vec<T> x, vec<T> y) { return math::power<T>(x, y); }
};
// By squaring, wrapping around; negative exponents, which NumPy refuses, do not come here.
template <class T> struct PowerWhole {
    static T of(T x, T y) {
        using U = std::make_unsigned_t<T>;
        U r = 1, base = static_cast<U>(x);
        for (U n = static_cast<U>(y); n; n >>= 1, base *= base)
            if (n & 1) r *= base;
        return static_cast<T>(r);
    }
};

template <class T> Function function(Op op) {
    switch (op) {
        case Op::sqrt: return unary<T, Root<T>>;
        case Op::sin: return unary<T, Sin<T>>;
        case Op::cos: return unary<T, Cos<T>>;
        case Op::exp: return unary<T, Exp<T>>;
        case Op::log: return unary<T, Log<T>>;
        case Op::log1p: return unary<T, LogOnePlus<T>>;
        case Op::tanh: return unary<T, Tanh<T>>;
        case Op::sigmoid: return unary<T, Sigmoid<T>>;
        case Op::gelu: return unary<T, Gelu<T>>;
        default: return nullptr;
    }
}

}  // namespace

Function math_function(Op op, DType t, int scalars) {
    switch (t) {
        case DType::f32:
            return op == Op::power ? binary_variant<float, Power<float>>(scalars) : function<float>(op);
        case DType::f64:
            return op == Op::power ? binary_variant<double, Power<double>>(scalars) : function<double>(op);
        case DType::i32: return op == Op::power ? each_variant<int32_t, int32_t, PowerWhole<int32_t>>(scalars) : nullptr;
        case DType::i64: return op == Op::power ? each_variant<int64_t, int64_t, PowerWhole<int64_t>>(scalars) : nullptr;
        default: return nullptr;
    }
}

double function_cost(Op op, DType t) {
    double one = t == DType::f32 || t == DType::i32 ? 0.06 : t == DType::b1 ? 0.03 : 0.12;
    bool single = t == DType::f32;
    switch (op) {
        case Op::divide: return 3 * one;
        case Op::floor_divide: case Op::remainder: return is_float(t) ? 5 * one : 4;
        case Op::power: return single ? 1.5 : is_float(t) ? 4 : 3;
        case Op::sin: case Op::cos: return single ? 0.4 : 1.5;
        case Op::sqrt: return 4 * one;
        case Op::exp: case Op::log: return single ? 0.35 : 1.2;
        case Op::log1p: return single ? 0.45 : 1.6;
        case Op::tanh: return single ? 0.4 : 1.8;
        case Op::sigmoid: return single ? 0.6 : 2;
        case Op::gelu: return single ? 0.9 : 2.5;
        default: return one;
    }
}

}  // namespace fb::cpu
