#include "graph/extra.h"

#include <algorithm>
#include <cmath>

namespace fb::graph {

namespace {

template <class F> std::shared_ptr<const Kernel> made(double nanoseconds, F f) {
    return std::make_shared<FunctionKernel<F>>(nanoseconds, std::move(f));
}

// log(1 + exp(-|x|)) + (max(x, 0) - t x): in this order nothing is lost where a prediction is confident and right.
template <class T> std::shared_ptr<const Kernel> sigmoid_cross_entropy(int64_t count) {
    constexpr int64_t part = 4096;
    return made(20.0 * static_cast<double>(count), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto labels = static_cast<const T*>(inputs[0]), logits = static_cast<const T*>(inputs[1]);
        auto to = static_cast<T*>(outputs[0]);
        work.parallel((count + part - 1) / part, [&](int64_t k) {
            for (int64_t i = k * part; i < std::min(count, (k + 1) * part); i++) {
                T x = logits[i], above = x > 0 || std::isnan(x) ? x : T(0);
                to[i] = std::log1p(std::exp(-std::abs(x))) + (above - labels[i] * x);
            }
        });
    });
}

template <class T> void find_odd(const T* x, const Spec& spec, const std::string& message) {
    int64_t count = spec.size(), nans = 0, infinities = 0, first = -1;
    for (int64_t i = 0; i < count; i++) {
        if (std::isfinite(x[i])) continue;
        (std::isnan(x[i]) ? nans : infinities)++;
        if (first < 0) first = i;
    }
    if (first < 0) return;
    std::string place;
    for (int i = spec.rank - 1, rest = 0; i >= 0; i--, rest++) {
        place = std::to_string(first % spec.shape[i]) + (rest ? ", " : "") + place;
        first /= spec.shape[i];
    }
    throw Error((message.empty() ? "" : message + ": ") + std::to_string(nans) + " nan and " +
                std::to_string(infinities) +
                " inf in " + std::to_string(count) + " values, the first at [" + place + "]");
}

}  // namespace

std::shared_ptr<const Kernel> extra_kernel(const std::string& op, const Attrs& attrs, const Spec& output) {
    if (op == "sigmoid_cross_entropy")
        return output.dtype == DType::f32 ? sigmoid_cross_entropy<float>(output.size())
                                          : sigmoid_cross_entropy<double>(output.size());
    if (op == "check_finite") {
        std::string message = attrs.text("message");
        return made(0.5 * static_cast<double>(output.size()),
                    [=](Work&, const void* const* inputs, void* const* outputs) {
            if (output.dtype == DType::f32) find_odd(static_cast<const float*>(inputs[0]), output, message);
            if (output.dtype == DType::f64) find_odd(static_cast<const double*>(inputs[0]), output, message);
            if (size_t bytes = static_cast<size_t>(output.bytes())) std::memcpy(outputs[0], inputs[0], bytes);
        });
    }
    return nullptr;
}

}  // namespace fb::graph
