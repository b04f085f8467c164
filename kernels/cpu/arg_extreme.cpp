// argmax and argmin: the place of the first of the largest (or smallest) entries; of the first nan, where there is one.
#include "cpu/rowmath.h"
#include "cpu/rows.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

template <bool largest, class T> FB_INLINE bool beats(T a, T b) { return largest ? a > b : a < b; }

template <bool largest, class T> FB_INLINE int64_t scan(const T* x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        if constexpr (std::is_floating_point_v<T>)
            if (x[i] != x[i]) return i;
        if (beats<largest>(x[i], x[best])) best = i;
    }
    return best;
}

// The integer that numbers the lanes of a vector of T.
template <class T> using Number = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// Each lane keeps its own first best, and which vector it came from.
template <bool largest, class T> FB_INLINE int64_t scan_vectors(const T* x, int64_t n) {
    constexpr int64_t width = lanes<T>;
    if (n < 2 * width || n / width > std::numeric_limits<Number<T>>::max()) return scan<largest>(x, n);
    vec<T> best = load(x), spoiled{};
    vec<Number<T>> from{}, number{};
    int64_t whole = n / width * width;
    for (int64_t i = 0; i < whole; i += width) {
        vec<T> v = load(x + i);
        auto better = largest ? v > best : v < best;
        best = better ? v : best;
        from = better ? number : from;
        number += 1;
        if constexpr (std::is_floating_point_v<T>) spoiled = muladd(v, vec<T>{}, spoiled);
    }
    if constexpr (std::is_floating_point_v<T>) {  // 0, unless there was nan or an infinity
        T sum = 0;
        for (int64_t i = 0; i < width; i++) sum += spoiled[i];
        if (sum != 0) return scan<largest>(x, n);
    }
    T top = best[0];
    int64_t at = from[0] * width;
    for (int64_t i = 1; i < width; i++) {
        int64_t place = from[i] * width + i;
        if (beats<largest, T>(best[i], top) || (best[i] == top && place < at)) {
            top = best[i];
            at = place;
        }
    }
    for (int64_t i = whole; i < n; i++) {
        if constexpr (std::is_floating_point_v<T>)
            if (x[i] != x[i]) return i;
        if (beats<largest>(x[i], top)) {
            top = x[i];
            at = i;
        }
    }
    return at;
}

template <bool largest, class T> std::unique_ptr<Kernel> extreme(const Signature& s) {
    Rows in(s.inputs[0], axis_bits(s.attrs, s.inputs[0].rank));
    int64_t n = in.length();
    if (n == 0) return nullptr;  // the reference kernel says what is wrong
    double row_ns = 5 + n * sizeof(T) * 0.06;
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto y = static_cast<int64_t*>(outputs[0]);
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            for (int64_t row = begin; row < end; row++) {
                const T* p = x.row(row);
                if constexpr (sizeof(T) >= 4 && (std::is_floating_point_v<T> || std::is_signed_v<T>))
                    y[row] = scan_vectors<largest>(p, n);
                else
                    y[row] = scan<largest>(p, n);
            }
        });
    });
}

template <bool largest> std::unique_ptr<Kernel> make(const Signature& s) {
    if (s.outputs[0].dtype != DType::i64) return nullptr;
    switch (s.inputs[0].dtype) {
        case DType::f32: return extreme<largest, float>(s);
        case DType::f64: return extreme<largest, double>(s);
        case DType::i8: return extreme<largest, int8_t>(s);
        case DType::i16: return extreme<largest, int16_t>(s);
        case DType::i32: return extreme<largest, int32_t>(s);
        case DType::i64: return extreme<largest, int64_t>(s);
        case DType::u16: return extreme<largest, uint16_t>(s);
        case DType::u32: return extreme<largest, uint32_t>(s);
        case DType::u64: return extreme<largest, uint64_t>(s);
        default: return extreme<largest, uint8_t>(s);  // bool too
    }
}

}  // namespace

std::unique_ptr<Kernel> make_argmax(const Signature& s) { return make<true>(s); }
std::unique_ptr<Kernel> make_argmin(const Signature& s) { return make<false>(s); }

}  // namespace fb::cpu
