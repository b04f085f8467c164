// Pairs of instructions that often follow each other, in one loop: what is between them stays in registers.
#include "cpu/arithmetic.h"
#include "cpu/functions.h"
#include "cpu/math.h"

namespace fb::cpu {

namespace {

template <class T> struct Exp {
    static vec<T> of(vec<T> a) { return math::exp(a); }
};
template <class T> struct Tanh {
    static vec<T> of(vec<T> a) { return math::tanh(a); }
};
template <class T> struct SubtractFrom {
    static vec<T> of(vec<T> a, vec<T> c) { return c - a; }
};

template <class T, class F, class G, bool two, bool one_a, bool one_b, bool one_c>
void pair(void* d, const void* a, const void* b, const void* c, int64_t n) {
    auto to = static_cast<T*>(d);
    auto x = static_cast<const T*>(a), y = static_cast<const T*>(b), z = static_cast<const T*>(c);
    vec<T> u = {}, v = {}, w = {};
    if (one_a) u = splat(*x);
    if (one_b) v = splat(*y);
    if (two && one_c) w = splat(*z);
    auto both = [](vec<T> p, vec<T> q, vec<T> r) {
        if constexpr (two) return G::of(F::of(p, q), r);
        else return G::of(F::of(p, q));
    };
    int64_t i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) {
        if (!one_a) u = load(x + i);
        if (!one_b) v = load(y + i);
        if (two && !one_c) w = load(z + i);
        store(to + i, both(u, v, w));
    }
    if (i < n) {
        if (!one_a) u = load_part(x + i, n - i);
        if (!one_b) v = load_part(y + i, n - i);
        if (two && !one_c) w = load_part(z + i, n - i);
        store_part(to + i, both(u, v, w), n - i);
    }
}

template <class T, class F, class G, bool two> Function variant(int scalars) {
    switch (scalars) {
        case 0: return pair<T, F, G, two, false, false, false>;
        case scalar_a: return pair<T, F, G, two, true, false, false>;
        case scalar_b: return pair<T, F, G, two, false, true, false>;
        default: break;
    }
    if constexpr (two) {
        switch (scalars) {
            case scalar_c: return pair<T, F, G, two, false, false, true>;
            case scalar_a | scalar_c: return pair<T, F, G, two, true, false, true>;
            case scalar_b | scalar_c: return pair<T, F, G, two, false, true, true>;
            default: break;
        }
    }
    return nullptr;
}

template <class T, class F> Function after(Op g, bool swapped, int scalars) {
    switch (g) {
        case Op::negative: return variant<T, F, Negative<T>, false>(scalars);
        case Op::exp: return variant<T, F, Exp<T>, false>(scalars);
        case Op::tanh: return variant<T, F, Tanh<T>, false>(scalars);
        case Op::add: return variant<T, F, Add<T>, true>(scalars);
        case Op::multiply: return variant<T, F, Multiply<T>, true>(scalars);
        case Op::subtract:
            return swapped ? variant<T, F, SubtractFrom<T>, true>(scalars) : variant<T, F, Subtract<T>, true>(scalars);
        // Which of two equal numbers is taken depends on the order.
        case Op::maximum: return swapped ? nullptr : variant<T, F, Maximum<T>, true>(scalars);
        default: return nullptr;
    }
}

template <class T> Function of(Op f, Op g, bool swapped, int scalars) {
    switch (f) {
        case Op::add: return after<T, Add<T>>(g, swapped, scalars);
        case Op::subtract: return after<T, Subtract<T>>(g, swapped, scalars);
        case Op::multiply: return after<T, Multiply<T>>(g, swapped, scalars);
        default: return nullptr;
    }
}

}  // namespace

Function pair_function(Op f, Op g, DType t, bool swapped, int scalars) {
    if (t == DType::f32) return of<float>(f, g, swapped, scalars);
    return t == DType::f64 ? of<double>(f, g, swapped, scalars) : nullptr;
}

}  // namespace fb::cpu
