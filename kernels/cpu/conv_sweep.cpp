#include "cpu/conv.h"
#include "cpu/pack.h"

#include <algorithm>

namespace fb::cpu {

namespace {

constexpr double part_flops = 6e6;       // what a part aims at
constexpr int64_t part_bytes = 1 << 18;  // of padded images in a part, so that filters pass over them in the cache
constexpr int64_t many_bytes = 1 << 20;  // of filters: more do not stay in a second cache

}  // namespace

template <class T> void Filters<T>::pack(Work& work, const T* from, const int64_t (&stride)[4], T* to) const {
    auto some = [&](int64_t j) {
        const int64_t columns = std::min<int64_t>(out - j * tile_columns<T>, tile_columns<T>);
        const int pitch = columns > lanes<T> ? tile_columns<T> : lanes<T>;
        T* place = to + j * tile_columns<T> * steps();
        const T* start = from + j * tile_columns<T> * stride[3];
        if (stride[1] == in * stride[2] && stride[0] == width * stride[1])  // taps lie one after the other
            return pack_panel<T>({start, stride[3], stride[2]}, static_cast<int>(columns), columns, steps(), place,
                                 pitch);
        for (int64_t tap = 0; tap < height * width; tap++, place += in * pitch) {
            const T* here = start + tap / width * stride[0] + tap % width * stride[1];
            pack_panel<T>({here, stride[3], stride[2]}, static_cast<int>(columns), columns, in, place, pitch);
        }
    };
    if (steps() * out > 200000)
        work.parallel(panels(), some);
    else
        for (int64_t j = 0; j < panels(); j++) some(j);
}

// Rows of one panel of results; `padded` holds the image from the first row that they see.
template <class T>
void Sweep<T>::rows_of(const T* padded, int64_t pitch, int64_t begin, int64_t end, const T* panel, int width,
                       T* result) const {
    const int64_t c = frame.channels, pieces = (columns + tile_rows - 1) / tile_rows;
    Tile<T> t;
    t.a_step = column_stride * c;
    t.outer = filters.height;
    t.outer_step = row_dilation * pitch;
    if (column_dilation == 1) {
        t.length = filters.width * c;
    } else {
        t.length = c;
        t.inner = filters.width;
        t.inner_step = column_dilation * c;
    }
    t.b = panel;
    t.b_step = width > lanes<T> ? tile_columns<T> : lanes<T>;
    t.c_step = column_step;
    t.columns = width;
    for (int64_t row = begin; row < end; row++) {
        for (int64_t piece = 0; piece < pieces; piece++) {
            const int64_t first = piece * columns / pieces, last = (piece + 1) * columns / pieces;
            t.a = padded + (row - begin) * row_stride * pitch + first * t.a_step;
            t.c = result + row * row_step + first * column_step;
            tile_function<T>(Lie::steps_adjacent, static_cast<int>(last - first), width)(t);
        }
    }
}

template <class T>
void Sweep<T>::run(Work& work, const T* source, int64_t source_step, const Pixels& pixels, const T* packed,
                   T* result) const {
    if (images * rows * columns * filters.out == 0) return;
    const bool bare = !frame.padded() && pixels.adjacent(frame);
    const double each = flops() / images;
    // Large images are cut into blocks of rows; small ones are taken several at a time. Many filters are cut into
    // slices, over which all images pass before the next.
    const bool many = filters.numbers() * static_cast<int64_t>(sizeof(T)) > many_bytes;
    const int64_t cuts = static_cast<int64_t>(each / (2 * part_flops));
    const int64_t slices = many ? std::clamp<int64_t>(cuts, 1, filters.panels()) : 1;
    const int64_t blocks = std::clamp<int64_t>(cuts / slices, 1, rows);
    const int64_t most_rows = ((rows + blocks - 1) / blocks - 1) * row_stride + (filters.height - 1) * row_dilation + 1;
    const int64_t room = bare ? 0 : most_rows * frame.pitch();
    int64_t some = 1;
    if (blocks == 1) {
        const int64_t bytes = std::max<int64_t>(most_rows * frame.pitch() * sizeof(T), 1);
        some = std::clamp<int64_t>(static_cast<int64_t>(part_flops / std::max(each, 1.0)), 1,
                                   std::max<int64_t>(part_bytes / bytes, 1));
    }
    const int64_t groups = (images + some - 1) / some;
    auto part = [&](int64_t number) {
        const int64_t slice = number / (groups * blocks), block = number % blocks;
        const int64_t first = number / blocks % groups * some, last = std::min(first + some, images);
        const int64_t begin = block * rows / blocks, end = (block + 1) * rows / blocks;
        const int64_t top = begin * row_stride;
        Scratch scratch(room * some * sizeof(T));
        for (int64_t i = first; i < last && !bare; i++)
            copy_padded(frame, source + i * source_step, pixels, top,
                        top + (end - begin - 1) * row_stride + (filters.height - 1) * row_dilation + 1,
                        scratch.template as<T>() + (i - first) * room);
        for (int64_t j = slice * filters.panels() / slices; j < (slice + 1) * filters.panels() / slices; j++) {
            const int width = static_cast<int>(std::min<int64_t>(filters.out - j * tile_columns<T>, tile_columns<T>));
            for (int64_t i = first; i < last; i++) {
                const T* seen = bare ? source + i * source_step + top * pixels.row
                                     : scratch.template as<T>() + (i - first) * room;
                rows_of(seen, bare ? pixels.row : frame.pitch(), begin, end, filters.panel(packed, j), width,
                        result + i * image_step + j * tile_columns<T>);
            }
        }
    };
    if (tile_time<T>(flops()) < 15000)
        for (int64_t number = 0; number < groups * blocks * slices; number++) part(number);
    else
        work.parallel(groups * blocks * slices, part);
}

template struct Filters<float>;
template struct Filters<double>;
template struct Sweep<float>;
template struct Sweep<double>;

}  // namespace fb::cpu
