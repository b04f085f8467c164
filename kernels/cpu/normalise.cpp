// Rows with mean 0 and variance 1: standardize, layer_norm, var and std. The mean first, then the squared distances to
// it: no digits are lost where the mean is large.
#include "cpu/rowpack.h"
#include "cpu/rows.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

template <class T> FB_INLINE T mean_of(const T* x, int64_t n) {
    Pack<T> total = add_packs<T>(n, [&](Pack<T> sum, int64_t i, auto count) { return sum + get(x + i, count); });
    return sum_of(total) / static_cast<T>(std::max<int64_t>(n, 1));
}

// The sum of the squared distances to the mean; `keep(i, count, distance)` sees them.
template <class T, class F> FB_INLINE T sum_of_squares(const T* x, int64_t n, F&& keep) {
    Pack<T> mean(mean_of(x, n));
    return sum_of(add_packs<T>(n, [&](Pack<T> total, int64_t i, auto count) {
        Pack<T> y = within(get(x + i, count) - mean, count);
        keep(i, count, y);
        return muladd(y, y, total);
    }));
}

// y = x - mean; gives the factor that makes the variance 1.
template <class T> FB_INLINE T centre(const T* x, T* y, int64_t n, T epsilon) {
    T squares = sum_of_squares(x, n, [&](int64_t i, auto count, Pack<T> v) { put(y + i, count, v); });
    return 1 / std::sqrt(squares / static_cast<T>(std::max<int64_t>(n, 1)) + epsilon);
}

constexpr double row_cost(int64_t n, int64_t item) { return 20 + n * item * 0.06; }

template <class T> std::unique_ptr<Kernel> standardize(const Signature& s) {
    uint32_t axis = axis_bits(s.attrs, s.inputs[0].rank);
    Rows in(s.inputs[0], axis), to(s.outputs[0], axis);
    auto epsilon = static_cast<T>(s.attrs.real("epsilon"));
    int64_t n = in.length();
    double row_ns = row_cost(n, sizeof(T));
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto factors = static_cast<T*>(outputs[1]);
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            Writer<T> y(to, outputs[0], end);
            for (int64_t row = begin; row < end; row++) {
                T* q = y.row(row);
                factors[row] = centre(x.row(row), q, n, epsilon);
                Pack<T> factor(factors[row]);
                for_packs<T>(n, [&](int64_t i, auto count) { put(q + i, count, get(q + i, count) * factor); });
                y.done(row);
            }
        });
    });
}

// Rows of scale or offset: the same one for all rows of x is read once.
template <class T> class Parameters {
  public:
    Parameters(const Rows& rows, const void* base, int64_t end) : reader(rows, base, end), constant(rows.constant()) {}
    const T* row(int64_t i) { return reader.row(constant ? 0 : i); }

  private:
    Reader<T> reader;
    bool constant;
};

template <class T> std::unique_ptr<Kernel> layer_norm(const Signature& s) {
    const Spec& whole = s.inputs[0];
    uint32_t axis = axis_bits(s.attrs, whole.rank);
    Rows in(whole, axis), to(s.outputs[0], axis);
    Rows scales(broadcast(s.inputs[1], whole), axis), offsets(broadcast(s.inputs[2], whole), axis);
    auto epsilon = static_cast<T>(s.attrs.real("epsilon"));
    int64_t n = in.length();
    double row_ns = row_cost(n, sizeof(T));
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        if (!n) return;
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            Writer<T> y(to, outputs[0], end);
            Parameters<T> scale(scales, inputs[1], end), offset(offsets, inputs[2], end);
            for (int64_t row = begin; row < end; row++) {
                T* q = y.row(row);
                Pack<T> factor(centre(x.row(row), q, n, epsilon));
                const T *by = scale.row(row), *plus = offset.row(row);
                for_packs<T>(n, [&](int64_t i, auto count) {
                    Pack<T> v = get(q + i, count) * factor;
                    put(q + i, count, muladd(v, get(by + i, count), get(plus + i, count)));
                });
                y.done(row);
            }
        });
    });
}

template <class T> std::unique_ptr<Kernel> spread(const Signature& s, bool root) {
    Rows in(s.inputs[0], axis_bits(s.attrs, s.inputs[0].rank));
    int64_t n = in.length();
    double correction = s.attrs.real("correction"), row_ns = row_cost(n, sizeof(T));
    auto divisor = static_cast<T>(n - correction);
    bool enough = n > correction;
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto y = static_cast<T*>(outputs[0]);
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            for (int64_t row = begin; row < end; row++) {
                T squares = sum_of_squares(x.row(row), n, [](int64_t, auto, Pack<T>) {});
                T value = enough ? squares / divisor : std::numeric_limits<T>::quiet_NaN();
                y[row] = root ? std::sqrt(value) : value;
            }
        });
    });
}

std::unique_ptr<Kernel> make_spread(const Signature& s, bool root) {
    if (s.inputs[0].dtype != s.outputs[0].dtype) return nullptr;
    return for_floats(s.inputs[0].dtype, [&](auto t) { return spread<decltype(t)>(s, root); });
}

}  // namespace

std::unique_ptr<Kernel> make_standardize(const Signature& s) {
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return standardize<decltype(t)>(s); }), s, 0);
}

std::unique_ptr<Kernel> make_layer_norm(const Signature& s) {
    const Spec& x = s.inputs[0];
    for (int i = 1; i < 3; i++)
        if (s.inputs[i].dtype != x.dtype || !broadcasts(s.inputs[i], x)) return nullptr;
    return over(for_floats(x.dtype, [&](auto t) { return layer_norm<decltype(t)>(s); }), s, 0);
}

std::unique_ptr<Kernel> make_var(const Signature& s) { return make_spread(s, false); }
std::unique_ptr<Kernel> make_std(const Signature& s) { return make_spread(s, true); }

}  // namespace fb::cpu
