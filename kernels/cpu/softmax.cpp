// softmax, log_softmax and logsumexp.
#include "cpu/rows.h"
#include "cpu/softmax.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

enum class Form { softmax, log_softmax };

template <class T> std::unique_ptr<Kernel> normalised(const Signature& s, Form form) {
    const Spec& x = s.inputs[0];
    uint32_t axis = axis_bits(s.attrs, x.rank);
    Rows in(x, axis), to(s.outputs[0], axis);
    int64_t n = in.length();
    double row_ns = 15 + n * sizeof(T) * 0.12;
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        if (!n) return;
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            Writer<T> y(to, outputs[0], end);
            for (int64_t row = begin; row < end; row++) {
                if (form == Form::softmax)
                    softmax_row(x.row(row), y.row(row), n);
                else
                    log_softmax_row(x.row(row), y.row(row), n);
                y.done(row);
            }
        });
    });
}

template <class T> T logsumexp_row(const T* x, int64_t n) {
    T top = largest(x, n);
    if (!(std::abs(top) <= std::numeric_limits<T>::max())) top = 0;
    return log_of(sum_of_exp(x, n, top, [](int64_t, auto, auto) {})) + top;
}

template <class T> std::unique_ptr<Kernel> logsumexp(const Signature& s) {
    Rows in(s.inputs[0], axis_bits(s.attrs, s.inputs[0].rank));
    int64_t n = in.length();
    double row_ns = 15 + n * sizeof(T) * 0.1;
    return kernel(20 + row_ns * in.count(), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto out = static_cast<T*>(outputs[0]);
        for_rows(work, in.count(), row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[0], end);
            for (int64_t row = begin; row < end; row++) out[row] = logsumexp_row(x.row(row), n);
        });
    });
}

std::unique_ptr<Kernel> make(const Signature& s, Form form) {
    if (s.inputs[0].dtype != s.outputs[0].dtype || !s.inputs[0].rank) return nullptr;
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return normalised<decltype(t)>(s, form); }), s, 0);
}

}  // namespace

std::unique_ptr<Kernel> make_softmax(const Signature& s) { return make(s, Form::softmax); }
std::unique_ptr<Kernel> make_log_softmax(const Signature& s) { return make(s, Form::log_softmax); }
std::unique_ptr<Kernel> make_logsumexp(const Signature& s) {
    if (s.inputs[0].dtype != s.outputs[0].dtype) return nullptr;
    return for_floats(s.inputs[0].dtype, [&](auto t) { return logsumexp<decltype(t)>(s); });
}

}  // namespace fb::cpu
