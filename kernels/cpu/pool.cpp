// Pooling: the largest or the mean of each window, and what they pass back. Channels lie side by side, so a window is
// worked on for a vector of channels at a time. Places of a window in the padding are left out.
#include "cpu/frame.h"
#include "cpu/intrinsics.h"
#include "cpu/table.h"
#include "cpu/windows.h"

namespace fb::cpu {

namespace {

constexpr double part_time = 40000;  // what a part aims at, in nanoseconds

// A window, without what is padding: `first` is its first pixel, `rows` times `columns` pixels follow.
struct Window {
    int64_t number, first, rows, columns;
};

struct Pooling {
    Windows windows;
    int64_t images, channels;
    double time;  // of an image

    int64_t pixels() const { return windows.vertical.length * windows.horizontal.length; }
    int64_t places() const { return windows.vertical.places * windows.horizontal.places; }

    // Whether each pixel is in one window, and only one.
    bool tiled() const {
        auto fits = [](const WindowAxis& a) { return a.size == a.stride && a.places * a.stride == a.length; };
        return fits(windows.vertical) && fits(windows.horizontal);
    }

    template <class F> void each(F f) const {
        const WindowAxis &v = windows.vertical, &h = windows.horizontal;
        for (int64_t y = 0, number = 0; y < v.places; y++) {
            const int64_t top = y * v.stride - v.before, bottom = std::min(top + v.size, v.length);
            for (int64_t x = 0; x < h.places; x++, number++) {
                const int64_t left = x * h.stride - h.before, right = std::min(left + h.size, h.length);
                const int64_t row = std::max<int64_t>(top, 0), column = std::max<int64_t>(left, 0);
                f(Window{number, row * h.length + column, bottom - row, right - column});
            }
        }
    }
};

// Vectors of channels: as many whole ones as there are, and the rest.
struct Whole {
    template <class T> vec<T> get(const T* p) const { return load(p); }
    template <class T> void put(T* p, vec<T> v) const { store(p, v); }
};
struct Rest {
    int count;
    template <class T> vec<T> get(const T* p) const { return load_part(p, count); }
    template <class T> void put(T* p, vec<T> v) const { store_part<T>(p, v, count); }
};

template <class T, class F> void over_channels(int64_t channels, F f) {
    int64_t c = 0;
    for (; c + lanes<T> <= channels; c += lanes<T>) f(c, Whole());
    if (c < channels) f(c, Rest{static_cast<int>(channels - c)});
}

// What an image is to a kernel: contiguous, copied where it is not.
template <class T> struct Input {
    Frame frame;
    Pixels pixels;
    int64_t step;
    bool lies;

    explicit Input(const Spec& s)
        : frame{s.shape[1], s.shape[2], s.shape[3], s.shape[1], s.shape[2]}, pixels(pixels_of(s)), step(s.stride[0]) {
        lies = pixels.adjacent(frame) && (pixels.row == s.shape[2] * s.shape[3] || s.shape[1] == 1);
    }
    int64_t room() const { return lies ? 0 : frame.height * frame.pitch() * sizeof(T); }
    const T* image(const void* data, int64_t i, T* scratch) const {
        const T* from = static_cast<const T*>(data) + i * step;
        if (lies) return from;
        copy_padded(frame, from, pixels, 0, frame.height, scratch);
        return scratch;
    }
};

// A kernel that works image by image: f(images of the inputs..., image of the result). The second input may be missing.
template <class T, class F>
std::unique_ptr<Kernel> by_image(const Pooling& p, const Spec& first, const Spec* second, int64_t out_step, F f) {
    const Input<T> a(first), b(second ? *second : first);
    const bool two = second != nullptr;
    const int64_t some = std::max<int64_t>(static_cast<int64_t>(part_time / std::max(p.time, 1.0)), 1);
    return kernel(50 + p.time * p.images, [=](Work& work, const void* const* in, void* const* out) {
        work.parallel((p.images + some - 1) / some, [&](int64_t part) {
            Scratch a_room(a.room()), b_room(two ? b.room() : 0);
            for (int64_t i = part * some; i < std::min((part + 1) * some, p.images); i++)
                f(p, a.image(in[0], i, a_room.template as<T>()),
                  two ? b.image(in[1], i, b_room.template as<T>()) : nullptr, static_cast<T*>(out[0]) + i * out_step);
        });
    });
}

template <class T> vec<T> larger(vec<T> a, vec<T> b) { return ((a >= b) | (a != a)) ? a : b; }  // nan wins

// f(vector of the pixel's channels, offset of the pixel), in the order of pixels.
template <class T, class As, class F>
inline void over_window(const Pooling& p, const Window& w, const T* x, int64_t c, As as, F f) {
    const int64_t width = p.windows.horizontal.length;
    for (int64_t i = 0; i < w.rows; i++) {
        int64_t at = (w.first + i * width) * p.channels + c;
        for (int64_t j = 0; j < w.columns; j++, at += p.channels) f(as.get(x + at), at);
    }
}

template <class T, class As>
inline vec<T> largest(const Pooling& p, const Window& w, const T* x, int64_t c, As as) {
    vec<T> found = as.get(x + w.first * p.channels + c);
    over_window(p, w, x, c, as, [&](vec<T> v, int64_t) { found = larger<T>(found, v); });
    return found;
}

template <class T> void max_image(const Pooling& p, const T* x, const T*, T* y) {
    p.each([&](const Window& w) {
        over_channels<T>(p.channels, [&](int64_t c, auto as) {
            as.put(y + w.number * p.channels + c, largest(p, w, x, c, as));
        });
    });
}

// Integers: a row of channels at a time, which compilers make vectors of.
template <class T> void max_whole_image(const Pooling& p, const T* x, const T*, T* y) {
    const int64_t width = p.windows.horizontal.length, n = p.channels;
    p.each([&](const Window& w) {
        T* to = y + w.number * n;
        std::copy_n(x + w.first * n, n, to);
        for (int64_t i = 0; i < w.rows; i++)
            for (int64_t j = 0; j < w.columns; j++) {
                const T* from = x + (w.first + i * width + j) * n;
                for (int64_t c = 0; c < n; c++) to[c] = std::max(to[c], from[c]);
            }
    });
}

// `dy` goes to the largest numbers of a window in equal shares. Others get a share times 0, which is nan where the
// share is not finite: where a window holds nan, nothing equals its maximum, and all of it gets nan.
template <class T> void max_grad_image(const Pooling& p, const T* dy, const T* x, T* dx) {
    const bool tiled = p.tiled();
    const vec<T> none = {}, one = none + T(1);
    if (!tiled) std::fill_n(dx, p.pixels() * p.channels, T(0));
    p.each([&](const Window& w) {
        over_channels<T>(p.channels, [&](int64_t c, auto as) {
            const vec<T> best = largest(p, w, x, c, as);
            vec<T> count = {};
            over_window(p, w, x, c, as, [&](vec<T> v, int64_t) { count += v == best ? one : none; });
            const vec<T> share = as.get(dy + w.number * p.channels + c) / count;
            over_window(p, w, x, c, as, [&](vec<T> v, int64_t at) {
                const vec<T> part = share * (v == best ? one : none);
                as.put(dx + at, tiled ? part : as.get(dx + at) + part);
            });
        });
    });
}

template <class T> void max_take_image(const Pooling& p, const T* g, const T* x, T* y) {
    const vec<T> none = {}, one = none + T(1);
    p.each([&](const Window& w) {
        over_channels<T>(p.channels, [&](int64_t c, auto as) {
            const vec<T> best = largest(p, w, x, c, as);
            vec<T> count = {}, sum = {};
            over_window(p, w, x, c, as, [&](vec<T> v, int64_t at) {
                const vec<T> wins = v == best ? one : none;
                count += wins;
                sum += as.get(g + at) * wins;
            });
            as.put(y + w.number * p.channels + c, sum / count);
        });
    });
}

template <class T> void mean_image(const Pooling& p, const T* x, const T*, T* y) {
    p.each([&](const Window& w) {
        const T cells = static_cast<T>(w.rows * w.columns);
        over_channels<T>(p.channels, [&](int64_t c, auto as) {
            vec<T> sum = {};
            over_window(p, w, x, c, as, [&](vec<T> v, int64_t) { sum += v; });
            as.put(y + w.number * p.channels + c, sum / cells);
        });
    });
}

template <class T> void mean_grad_image(const Pooling& p, const T* dy, const T*, T* dx) {
    const bool tiled = p.tiled();
    if (!tiled) std::fill_n(dx, p.pixels() * p.channels, T(0));
    p.each([&](const Window& w) {
        const T cells = static_cast<T>(w.rows * w.columns);
        over_channels<T>(p.channels, [&](int64_t c, auto as) {
            const vec<T> share = as.get(dy + w.number * p.channels + c) / cells;
            for (int64_t i = 0; i < w.rows; i++)
                for (int64_t j = 0; j < w.columns; j++) {
                    T* to = dx + (w.first + i * p.windows.horizontal.length + j) * p.channels + c;
                    as.put(to, tiled ? share : as.get(to) + share);
                }
        });
    });
}

// The windows of a call over `image`, whose results are like `result`; `fits` is false where there is no kernel.
Pooling pooling_of(const Signature& s, const Spec& image, const Spec& result, double time) {
    Pooling p;
    int64_t size[2], strides[2];
    if (image.rank != 4 || !pair_of(s.attrs, "window", size)) return p;
    if (!pair_of(s.attrs, s.attrs.find("strides") ? "strides" : "window", strides)) return p;
    p.windows = windows_of(image, size, strides, s.attrs.text("padding"), {1, 1});
    p.images = image.shape[0];
    p.channels = image.shape[3];
    if (!p.windows.gives(result, p.images, p.channels)) p.windows.fits = false;
    const double vectors = static_cast<double>((p.channels * size_of(image.dtype) + vector_bytes - 1) / vector_bytes);
    p.time = vectors * (static_cast<double>(p.pixels()) * 1.0 + time * p.places() * size[0] * size[1]);
    return p;
}

template <class T> std::unique_ptr<Kernel> whole_maximum(const Pooling& p, const Spec& x) {
    return by_image<T>(p, x, nullptr, p.places() * p.channels, max_whole_image<T>);
}

}  // namespace

std::unique_ptr<Kernel> make_max_pool(const Signature& s) {
    const Spec& x = s.inputs[0];
    const Pooling p = pooling_of(s, x, s.outputs[0], 0.5);
    if (!p.windows.fits || s.outputs[0].dtype != x.dtype) return nullptr;
    const int64_t step = p.places() * p.channels;
    switch (x.dtype) {
        case DType::f32: return by_image<float>(p, x, nullptr, step, max_image<float>);
        case DType::f64: return by_image<double>(p, x, nullptr, step, max_image<double>);
        case DType::i32: return whole_maximum<int32_t>(p, x);
        case DType::i64: return whole_maximum<int64_t>(p, x);
        case DType::u8: return whole_maximum<uint8_t>(p, x);
        default: return nullptr;
    }
}

std::unique_ptr<Kernel> make_avg_pool(const Signature& s) {
    const Spec& x = s.inputs[0];
    const Pooling p = pooling_of(s, x, s.outputs[0], 0.5);
    if (!p.windows.fits || !is_float(x.dtype) || s.outputs[0].dtype != x.dtype) return nullptr;
    const int64_t step = p.places() * p.channels;
    return x.dtype == DType::f32 ? by_image<float>(p, x, nullptr, step, mean_image<float>)
                                 : by_image<double>(p, x, nullptr, step, mean_image<double>);
}

std::unique_ptr<Kernel> make_avg_pool_grad(const Signature& s) {
    const Spec &dy = s.inputs[0], &dx = s.outputs[0];
    const Pooling p = pooling_of(s, dx, dy, 0.5);
    if (!p.windows.fits || !is_float(dy.dtype) || dx.dtype != dy.dtype) return nullptr;
    const int64_t step = p.pixels() * p.channels;
    return dy.dtype == DType::f32 ? by_image<float>(p, dy, nullptr, step, mean_grad_image<float>)
                                  : by_image<double>(p, dy, nullptr, step, mean_grad_image<double>);
}

std::unique_ptr<Kernel> make_max_pool_grad(const Signature& s) {
    const Spec &dy = s.inputs[0], &x = s.inputs[1], &dx = s.outputs[0];
    const Pooling p = pooling_of(s, x, dy, 1.5);
    if (!p.windows.fits || !is_float(x.dtype) || dy.dtype != x.dtype || dx.dtype != x.dtype) return nullptr;
    if (!dx.same_shape(x)) return nullptr;
    const int64_t step = p.pixels() * p.channels;
    return x.dtype == DType::f32 ? by_image<float>(p, dy, &x, step, max_grad_image<float>)
                                 : by_image<double>(p, dy, &x, step, max_grad_image<double>);
}

std::unique_ptr<Kernel> make_max_pool_take(const Signature& s) {
    const Spec &g = s.inputs[0], &x = s.inputs[1], &y = s.outputs[0];
    const Pooling p = pooling_of(s, x, y, 1.5);
    if (!p.windows.fits || !is_float(x.dtype) || g.dtype != x.dtype || y.dtype != x.dtype) return nullptr;
    if (!g.same_shape(x)) return nullptr;
    const int64_t step = p.places() * p.channels;
    return x.dtype == DType::f32 ? by_image<float>(p, g, &x, step, max_take_image<float>)
                                 : by_image<double>(p, g, &x, step, max_take_image<double>);
}

}  // namespace fb::cpu
