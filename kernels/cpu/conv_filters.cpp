// What conv2d passes back to its filters: a product whose sum runs over the pixels of all images. Rows of the result
// are (tap, channel), which lie side by side in the image; rows of the right operand are the pixels of dy.
//
// Images are taken in groups that the shape decides. Each group adds up filters of its own, and these are added in
// order, so the result does not depend on threads.
#include "cpu/conv.h"
#include "cpu/table.h"

#include <algorithm>

namespace fb::cpu {

namespace {

constexpr int64_t most_groups = 16;
constexpr int64_t sums_bytes = 1 << 23;  // of the groups' filters
constexpr int64_t pixels_at_once = 256;  // of dy, so that they stay in the first cache while all taps see them

template <class T> struct GradFilters {
    int64_t images;
    Frame frame;
    WindowAxis v, h;
    Pixels x_pixels, dy_pixels;
    int64_t x_step, dy_step;  // from image to image
    int64_t in, out;

    int64_t numbers() const { return v.size * h.size * in * out; }
    int64_t dy_pitch() const { return (out + lanes<T> - 1) / lanes<T> * lanes<T>; }  // whole vectors
    double flops() const { return 2.0 * images * v.places * h.places * v.size * h.size * in * dy_pitch(); }
    int64_t groups() const {
        const int64_t room = sums_bytes / std::max<int64_t>(numbers() * sizeof(T), 1);
        return std::max<int64_t>(std::min({images, most_groups, room}), 1);
    }

    void run(Work& work, const T* x, const T* dy, T* result) const;

  private:
    void image(const T* x, int64_t pitch, const T* dy, int64_t j, T* sums, bool add) const;
};

// The panel of filters number j, summed over the pixels of one image.
template <class T>
void GradFilters<T>::image(const T* x, int64_t pitch, const T* dy, int64_t j, T* sums, bool add) const {
    const int width = static_cast<int>(std::min<int64_t>(out - j * tile_columns<T>, tile_columns<T>));
    const int64_t some = std::clamp<int64_t>(pixels_at_once / h.places, 1, v.places);
    const int64_t across = h.dilation == 1 ? h.size * in : in, pieces = (across + tile_rows - 1) / tile_rows;
    Tile<T> t;
    t.a_step = h.stride * in;
    t.length = h.places;
    t.outer_step = v.stride * pitch;
    t.b_step = dy_pitch();
    t.c_step = t.from_step = out;
    t.columns = width;
    for (int64_t row = 0; row < v.places; row += some) {
        t.outer = std::min(some, v.places - row);
        t.b = dy + row * h.places * dy_pitch() + j * tile_columns<T>;
        T* c = sums + j * tile_columns<T>;
        for (int64_t i = 0; i < v.size; i++) {
            for (int64_t tap = 0; tap < (h.dilation == 1 ? 1 : h.size); tap++, c += across * out) {
                const T* a = x + (row * v.stride + i * v.dilation) * pitch + tap * h.dilation * in;
                for (int64_t piece = 0; piece < pieces; piece++) {
                    const int64_t first = piece * across / pieces, last = (piece + 1) * across / pieces;
                    t.a = a + first;
                    t.c = c + first * out;
                    t.from = add || row ? t.c : nullptr;
                    tile_function<T>(Lie::rows_adjacent, static_cast<int>(last - first), width)(t);
                }
            }
        }
    }
}

template <class T> void GradFilters<T>::run(Work& work, const T* x, const T* dy, T* result) const {
    if (images * v.places * h.places == 0) {
        std::fill_n(result, numbers(), T(0));
        return;
    }
    if (numbers() == 0) return;
    const bool bare = !frame.padded() && x_pixels.adjacent(frame);
    // Pixels of dy are read by whole vectors, so they are copied where they are no multiple of one.
    const bool dy_lies = dy_pixels.channel == 1 && (dy_pixels.column == out || h.places == 1) &&
                         (dy_pixels.row == h.places * out || v.places == 1) && out % lanes<T> == 0;
    const int64_t count = groups(), panels = (out + tile_columns<T> - 1) / tile_columns<T>;
    const int64_t slices = std::min(panels, (most_groups / 2 + count - 1) / count);  // of filters, for few images
    Scratch scratch(count > 1 ? count * numbers() * sizeof(T) : 0);
    T* sums = count > 1 ? scratch.template as<T>() : result;

    auto part = [&](int64_t number) {
        const int64_t group = number / slices, slice = number % slices;
        Scratch padded(bare ? 0 : frame.rows * frame.pitch() * sizeof(T));
        Scratch copied(dy_lies ? 0 : v.places * h.places * dy_pitch() * sizeof(T));
        const int64_t first = group * images / count, last = (group + 1) * images / count;
        for (int64_t i = first; i < last; i++) {
            const T *from = x + i * x_step, *right = dy + i * dy_step;
            if (!bare) {
                copy_padded(frame, from, x_pixels, 0, frame.rows, padded.template as<T>());
                from = padded.template as<T>();
            }
            if (!dy_lies) {
                T* to = copied.template as<T>();
                for (int64_t pixel = 0; pixel < v.places * h.places; pixel++, to += dy_pitch()) {
                    const T* p = right + pixel / h.places * dy_pixels.row + pixel % h.places * dy_pixels.column;
                    for (int64_t k = 0; k < out; k++) to[k] = p[k * dy_pixels.channel];
                    for (int64_t k = out; k < dy_pitch(); k++) to[k] = 0;
                }
                right = copied.template as<T>();
            }
            for (int64_t j = slice * panels / slices; j < (slice + 1) * panels / slices; j++)
                image(from, bare ? x_pixels.row : frame.pitch(), right, j, sums + group * numbers(), i > first);
        }
    };
    auto add = [&](int64_t number) {
        const int64_t begin = number << 13, end = std::min<int64_t>(begin + (1 << 13), numbers());
        for (int64_t i = begin; i < end; i++) result[i] = sums[i] + sums[numbers() + i];
        for (int64_t g = 2; g < count; g++)
            for (int64_t i = begin; i < end; i++) result[i] += sums[g * numbers() + i];
    };
    const int64_t adds = count > 1 ? (numbers() + (1 << 13) - 1) >> 13 : 0;
    if (tile_time<T>(flops()) < 15000) {
        for (int64_t number = 0; number < count * slices; number++) part(number);
        for (int64_t number = 0; number < adds; number++) add(number);
    } else {
        work.parallel(count * slices, part);
        work.parallel(adds, add);
    }
}

template <class T> std::unique_ptr<Kernel> grad_filters(const Signature& s, const Windows& w) {
    const Spec &x = s.inputs[0], &dy = s.inputs[1];
    GradFilters<T> g;
    g.images = x.shape[0];
    g.v = w.vertical;
    g.h = w.horizontal;
    g.in = x.shape[3];
    g.out = dy.shape[3];
    g.frame = {g.v.length, g.h.length, g.in, g.v.padded(), g.h.padded(), g.v.before, g.h.before};
    g.x_pixels = pixels_of(x);
    g.dy_pixels = pixels_of(dy);
    g.x_step = x.stride[0];
    g.dy_step = dy.stride[0];
    return kernel(tile_time<T>(g.flops()), [=](Work& work, const void* const* in, void* const* out) {
        g.run(work, static_cast<const T*>(in[0]), static_cast<const T*>(in[1]), static_cast<T*>(out[0]));
    });
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_grad_filters(const Signature& s) {
    const Spec &x = s.inputs[0], &dy = s.inputs[1], &f = s.outputs[0];
    if (!is_float(x.dtype) || x.dtype != dy.dtype || x.dtype != f.dtype) return nullptr;
    if (x.rank != 4 || dy.rank != 4 || f.rank != 4 || f.shape[2] != x.shape[3]) return nullptr;
    int64_t strides[2], dilations[2];
    if (!pair_of(s.attrs, "strides", strides) || !pair_of(s.attrs, "dilations", dilations)) return nullptr;
    const Windows w = windows_of(x, {f.shape[0], f.shape[1]}, strides, s.attrs.text("padding"), dilations);
    if (!w.fits || !w.gives(dy, x.shape[0], f.shape[3])) return nullptr;
    return x.dtype == DType::f32 ? grad_filters<float>(s, w) : grad_filters<double>(s, w);
}

}  // namespace fb::cpu
