// check_finite: its input, or an error that says what is not finite in it, in the words of the reference kernel.
#include "cpu/indices.h"
#include "cpu/rowpack.h"
#include "cpu/pieces.h"
#include "cpu/table.h"

#include <cstdio>

namespace fb::cpu {

namespace {

using namespace rows;

std::string text_of(double x) {
    if (x != x) return "nan";
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", x);
    return text;
}

const char* const advice = "\nstep back from here to find what made it";

template <class T> [[noreturn]] void complain(const T* x, const Spec& spec, const std::string& prefix) {
    if (spec.rank == 0) throw Error(prefix + "the value is " + text_of(x[0]) + advice);
    int64_t size = spec.size(), nans = 0, infinities = 0, first = -1;
    T low = std::numeric_limits<T>::infinity(), high = -low;
    for (int64_t i = 0; i < size; i++) {
        if (std::isfinite(x[i])) {
            low = std::min(low, x[i]);
            high = std::max(high, x[i]);
            continue;
        }
        if (first < 0) first = i;
        (x[i] != x[i] ? nans : infinities)++;
    }
    std::string counts = nans ? std::to_string(nans) + " nan" : "";
    if (infinities) counts += (nans ? " and " : "") + std::to_string(infinities) + " inf";
    std::string among = "; the others are from " + text_of(low) + " to " + text_of(high);
    throw Error(prefix + counts + " in " + std::to_string(size) + " values, the first (" + text_of(x[first]) + ") at " +
                place_of(spec, first) + (nans + infinities < size ? among : "") + advice);
}

template <class T> std::unique_ptr<Kernel> checked(const Signature& s) {
    const Spec& x = s.inputs[0];
    Spec result = s.outputs[0];
    std::shared_ptr<Kernel> copy = move_pieces(s, {piece_of(x, 0, 0, 0, result.stride)}, 0, false);
    std::string prefix = s.attrs.find("message") ? s.attrs.text("message") : "";
    if (!prefix.empty()) prefix += ": ";
    int64_t size = result.size();
    return kernel(copy->cost * 1.5, [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto y = static_cast<const T*>(outputs[0]);
        if (inputs[0] != outputs[0]) copy->run(work, inputs, outputs);
        for_rows(work, (size + 4095) / 4096, 150, [&](int64_t begin, int64_t end) {
            const T* p = y + begin * 4096;
            // 0, unless something is not finite
            T spoiled = sum_of(add_packs<T>(std::min(end * 4096, size) - begin * 4096,
                                            [&](Pack<T> total, int64_t i, auto count) {
                                                return muladd(get(p + i, count), Pack<T>(0), total);
                                            }));
            if (spoiled != 0) complain(y, result, prefix);
        });
    });
}

}  // namespace

std::unique_ptr<Kernel> make_check_finite(const Signature& s) {
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return checked<decltype(t)>(s); }), s, 0);
}

}  // namespace fb::cpu
