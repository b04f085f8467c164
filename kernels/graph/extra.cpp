#include "graph/extra.h"

#include <cmath>

namespace fb::graph {

namespace {

template <class F> std::shared_ptr<const Kernel> made(double nanoseconds, F f) {
    return std::make_shared<FunctionKernel<F>>(nanoseconds, std::move(f));
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
