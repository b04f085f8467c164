// conv2d, and what it passes back to its images: the same sweep over dy with filters turned round and transposed.
#include "cpu/conv.h"
#include "cpu/table.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace fb::cpu {

namespace {

bool same_floats(const Spec& a, const Spec& b, const Spec& result) {
    return is_float(a.dtype) && a.dtype == b.dtype && a.dtype == result.dtype;
}

Windows windows_of_filters(const Signature& s, const Spec& image, const Spec& filters) {
    int64_t strides[2], dilations[2];
    if (!pair_of(s.attrs, "strides", strides) || !pair_of(s.attrs, "dilations", dilations)) return {};
    return windows_of(image, {filters.shape[0], filters.shape[1]}, strides, s.attrs.text("padding"), dilations);
}

template <class T> std::unique_ptr<Kernel> forward(const Signature& s, const Windows& w) {
    const Spec x = s.inputs[0], f = s.inputs[1];
    const WindowAxis &v = w.vertical, &h = w.horizontal;
    Sweep<T> sweep;
    sweep.images = x.shape[0];
    sweep.frame = {v.length, h.length, x.shape[3], v.padded(), h.padded(), v.before, h.before};
    sweep.filters = {v.size, h.size, x.shape[3], f.shape[3]};
    sweep.rows = v.places;
    sweep.columns = h.places;
    sweep.row_stride = v.stride;
    sweep.column_stride = h.stride;
    sweep.row_dilation = v.dilation;
    sweep.column_dilation = h.dilation;
    sweep.column_step = f.shape[3];
    sweep.row_step = h.places * sweep.column_step;
    sweep.image_step = v.places * sweep.row_step;
    return kernel(tile_time<T>(sweep.flops()), [=](Work& work, const void* const* in, void* const* out) {
        Scratch packed(sweep.filters.numbers() * sizeof(T));
        const int64_t strides[4] = {f.stride[0], f.stride[1], f.stride[2], f.stride[3]};
        sweep.filters.pack(work, static_cast<const T*>(in[1]), strides, packed.as<T>());
        sweep.run(work, static_cast<const T*>(in[0]), x.stride[0], pixels_of(x), packed.as<T>(),
                  static_cast<T*>(out[0]));
    });
}

template <class T> bool all_finite(const T* packed, int64_t n) {
    int wrong = 0;
    for (int64_t i = 0; i < n; i++) wrong |= !(std::abs(packed[i]) <= std::numeric_limits<T>::max());
    return !wrong;
}

// By the definition: each pixel of dy spreads the filters over the patch it came from. Nothing is multiplied with
// padding, which matters where filters are not finite.
template <class T>
void spread(Work& work, const Windows& w, const Spec& dy_spec, const Spec& f, const T* dy, const T* filters, T* dx,
            int64_t channels) {
    const WindowAxis &v = w.vertical, &h = w.horizontal;
    work.parallel(dy_spec.shape[0], [&](int64_t image) {
        T* to = dx + image * v.length * h.length * channels;
        std::fill_n(to, v.length * h.length * channels, T(0));
        for (int64_t i = 0; i < v.size; i++)
            for (int64_t j = 0; j < h.size; j++)
                for (int64_t y = 0; y < v.places; y++)
                    for (int64_t x = 0; x < h.places; x++) {
                        const int64_t row = y * v.stride + i * v.dilation - v.before;
                        const int64_t column = x * h.stride + j * h.dilation - h.before;
                        if (row < 0 || row >= v.length || column < 0 || column >= h.length) continue;
                        const T* from = dy + image * dy_spec.stride[0] + y * dy_spec.stride[1] + x * dy_spec.stride[2];
                        for (int64_t c = 0; c < channels; c++) {
                            const T* weights = filters + i * f.stride[0] + j * f.stride[1] + c * f.stride[2];
                            T sum = 0;
                            for (int64_t k = 0; k < f.shape[3]; k++)
                                sum += from[k * dy_spec.stride[3]] * weights[k * f.stride[3]];
                            to[(row * h.length + column) * channels + c] += sum;
                        }
                    }
    });
}

// Along one axis, the elements of dx that the same taps of the filter reach: with a stride of s, every s-th element
// sees every s-th tap, so that dx is s convolutions of dy without a stride. With dilations it is one, of dy with zeros
// between its elements. Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
struct Phase {
    int64_t taps, first_tap, tap_step;
    int64_t count, first, step;           // elements of dx
    int64_t padded, before, spread = 1;   // of dy
    int64_t dilation = 1;

    static int64_t number(const WindowAxis& a) { return a.dilation > 1 ? 1 : a.stride; }

    Phase(const WindowAxis& a, int64_t phase) {
        if (number(a) == 1) {
            taps = a.size, first_tap = 0, tap_step = 1;
            count = a.length, first = 0, step = 1;
            padded = a.length + a.span() - 1, before = a.span() - 1 - a.before, spread = a.stride;
            dilation = a.dilation;
            return;
        }
        first_tap = phase, tap_step = step = a.stride;
        taps = std::max<int64_t>((a.size - phase + a.stride - 1) / a.stride, 0);
        first = ((phase - a.before) % a.stride + a.stride) % a.stride;
        count = std::max<int64_t>((a.length - first + a.stride - 1) / a.stride, 0);
        padded = count + taps - 1;
        before = taps - 1 - (first + a.before - phase) / a.stride;
    }
};

template <class T> std::unique_ptr<Kernel> grad_input(const Signature& s, const Windows& w) {
    const Spec dy = s.inputs[0], f = s.inputs[1];
    const WindowAxis v = w.vertical, h = w.horizontal;
    const int64_t channels = s.outputs[0].shape[3];
    std::vector<Sweep<T>> sweeps;
    std::vector<std::pair<Phase, Phase>> phases;
    double flops = 0;
    bool gaps = false;
    int64_t room = 0;
    for (int64_t i = 0; i < Phase::number(v); i++) {
        for (int64_t j = 0; j < Phase::number(h); j++) {
            const Phase y(v, i), x(h, j);
            if (y.count == 0 || x.count == 0) continue;
            if (y.taps == 0 || x.taps == 0) {  // no window reaches them
                gaps = true;
                continue;
            }
            Sweep<T> each;
            each.images = dy.shape[0];
            each.frame = {v.places, h.places, f.shape[3], y.padded, x.padded, y.before, x.before, y.spread, x.spread};
            each.filters = {y.taps, x.taps, f.shape[3], channels};
            each.rows = y.count;
            each.columns = x.count;
            each.row_stride = each.column_stride = 1;
            each.row_dilation = y.dilation;
            each.column_dilation = x.dilation;
            each.image_step = v.length * h.length * channels;
            each.row_step = y.step * h.length * channels;
            each.column_step = x.step * channels;
            flops += each.flops();
            room = std::max(room, each.filters.numbers());
            sweeps.push_back(each);
            phases.emplace_back(y, x);
        }
    }
    return kernel(tile_time<T>(flops), [=](Work& work, const void* const* in, void* const* out) {
        auto filters = static_cast<const T*>(in[1]);
        auto result = static_cast<T*>(out[0]);
        if (gaps) std::fill_n(result, dy.shape[0] * v.length * h.length * channels, T(0));
        Scratch packed(room * sizeof(T));
        for (size_t i = 0; i < sweeps.size(); i++) {
            const Sweep<T>& each = sweeps[i];
            const Phase &y = phases[i].first, &x = phases[i].second;
            const int64_t turned[4] = {-y.tap_step * f.stride[0], -x.tap_step * f.stride[1], f.stride[3], f.stride[2]};
            each.filters.pack(work,
                              filters + (y.first_tap + (y.taps - 1) * y.tap_step) * f.stride[0] +
                                  (x.first_tap + (x.taps - 1) * x.tap_step) * f.stride[1],
                              turned, packed.as<T>());
            if (!all_finite(packed.as<T>(), each.filters.numbers()))
                return spread(work, w, dy, f, static_cast<const T*>(in[0]), filters, result, channels);
            each.run(work, static_cast<const T*>(in[0]), dy.stride[0], pixels_of(dy), packed.as<T>(),
                     result + (y.first * h.length + x.first) * channels);
        }
    });
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d(const Signature& s) {
    const Spec &x = s.inputs[0], &f = s.inputs[1], &y = s.outputs[0];
    if (!same_floats(x, f, y) || x.rank != 4 || f.rank != 4 || y.rank != 4 || x.shape[3] != f.shape[2]) return nullptr;
    const Windows w = windows_of_filters(s, x, f);
    if (!w.fits || !w.gives(y, x.shape[0], f.shape[3])) return nullptr;
    return x.dtype == DType::f32 ? forward<float>(s, w) : forward<double>(s, w);
}

std::unique_ptr<Kernel> make_conv2d_grad_input(const Signature& s) {
    const Spec &dy = s.inputs[0], &f = s.inputs[1], &dx = s.outputs[0];
    if (!same_floats(dy, f, dx) || dy.rank != 4 || f.rank != 4 || dx.rank != 4 || f.shape[2] != dx.shape[3])
        return nullptr;
    const Windows w = windows_of_filters(s, dx, f);
    if (!w.fits || !w.gives(dy, dx.shape[0], f.shape[3])) return nullptr;
    return dy.dtype == DType::f32 ? grad_input<float>(s, w) : grad_input<double>(s, w);
}

}  // namespace fb::cpu
