// 1/k at the k entries of a row that are the largest or the smallest: how max and min share their gradients.
#include "cpu/rows.h"
#include "cpu/softmax.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

// 1 where a is b, or where a is nan when b is nan; else 0.
template <class T> FB_INLINE Pack<T> same(Pack<T> a, T b) {
    Pack<T> r;
    bool nan = b != b;
    for (int i = 0; i < Pack<T>::count; i++)
        r.v[i] = (nan ? a.v[i] != a.v[i] : a.v[i] == splat(b)) ? splat(T(1)) : splat(T(0));
    return r;
}

// The largest entry, or nan where there is one.
template <class T> FB_INLINE T peak_of(const T* x, int64_t n, T sign) {
    constexpr T low = -std::numeric_limits<T>::infinity();
    T spoiled = sum_of(add_packs<T>(n, [&](Pack<T> total, int64_t i, auto count) {
        Pack<T> v = get(x + i, count);
        return total + within(same(v, std::numeric_limits<T>::quiet_NaN()), count);
    }));
    if (spoiled > 0) return std::numeric_limits<T>::quiet_NaN();
    auto join = [](Pack<T> a, Pack<T> b) { return larger(a, b); };
    return sign * largest_of(fold_packs<T>(
        n, low,
        [&](Pack<T> top, int64_t i, auto count) {
            return larger(top, Pack<T>(sign) * get(x + i, count, sign * low));
        },
        join));
}

template <class T> std::unique_ptr<Kernel> shares(const Signature& s) {
    const Spec& x = s.inputs[0];
    uint32_t axis = axis_bits(s.attrs, x.rank);
    Rows in(x, axis), to(s.outputs[0], axis);
    T sign = s.attrs.integer("largest") ? 1 : -1;
    int64_t n = in.length();
    if (n == 0) return nullptr;  // the reference kernel says what is wrong
    double row_ns = 20 + n * sizeof(T) * 0.1;
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> from(in, inputs[0], end);
            Writer<T> out(to, outputs[0], end);
            for (int64_t row = begin; row < end; row++) {
                const T* p = from.row(row);
                T *q = out.row(row), peak = peak_of(p, n, sign);
                Pack<T> count(sum_of(add_packs<T>(n, [&](Pack<T> total, int64_t i, auto lanes) {
                    Pack<T> hit = within(same(get(p + i, lanes), peak), lanes);
                    put(q + i, lanes, hit);
                    return total + hit;
                })));
                for_packs<T>(n, [&](int64_t i, auto lanes) { put(q + i, lanes, get(q + i, lanes) / count); });
                out.done(row);
            }
        });
    });
}

}  // namespace

std::unique_ptr<Kernel> make_tie_share(const Signature& s) {
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return shares<decltype(t)>(s); }), s, 0);
}

}  // namespace fb::cpu
