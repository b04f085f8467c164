// Images slide under filters without a matrix of patches: a row of results is a matrix product whose left operand is
// read straight from the padded image, as the windows of neighbouring pixels lie one stride apart in memory. Sources:
// the product is that of tile.h; that an image serves as its own patch matrix is the "indirect" view of Dukhan, "The
// Indirect Convolution Algorithm", 2019, here with strides in place of pointers.
#pragma once

#include "cpu/frame.h"
#include "cpu/tile.h"
#include "cpu/windows.h"

namespace fb::cpu {

// The filters, (height, width, in, out) with any strides, in panels of columns, tap by tap.
template <class T> struct Filters {
    int64_t height, width, in, out;

    int64_t steps() const { return height * width * in; }
    int64_t panels() const { return (out + tile_columns<T> - 1) / tile_columns<T>; }
    // As `pack` writes them: a last panel of no more than a vector is half as wide.
    int64_t numbers() const { return (out + lanes<T> - 1) / lanes<T> * lanes<T> * steps(); }
    const T* panel(const T* packed, int64_t j) const { return packed + j * tile_columns<T> * steps(); }
    void pack(Work& work, const T* filters, const int64_t (&stride)[4], T* to) const;
};

// The convolution itself.
template <class T> struct Sweep {
    int64_t images;
    Frame frame;
    Filters<T> filters;
    int64_t rows, columns;  // of the result
    int64_t row_stride, column_stride, row_dilation, column_dilation;
    int64_t image_step, row_step, column_step;  // from one to the next in the memory of the result

    // What it takes, with the columns that only fill vectors.
    double flops() const { return 2.0 * images * rows * columns * filters.numbers(); }
    void run(Work& work, const T* source, int64_t source_step, const Pixels& pixels, const T* packed, T* result) const;

  private:
    void rows_of(const T* padded, int64_t pitch, int64_t begin, int64_t end, const T* panel, int width,
                 T* result) const;
};

// Nanoseconds for so many operations of this kind on one core.
template <class T> double tile_time(double flops) {
    return 100 + flops / (vector_bytes == 64 ? 6.6 * lanes<T> : vector_bytes == 32 ? 12.5 * lanes<T> : 6.2 * lanes<T>);
}

}  // namespace fb::cpu
