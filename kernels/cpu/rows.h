// The rows of an array: what lies along some of its axes, for each place on the others.
#pragma once

#include "runtime/kernel.h"

#include <algorithm>

namespace fb::cpu::rows {

// Which axes an attribute names, as bits: an int, a tuple, or None for all of them.
inline uint32_t axis_bits(const Attrs& attrs, int rank, const char* name = "axis") {
    if (!attrs.find(name)) return (1u << rank) - 1;
    uint32_t found = 0;
    for (int64_t axis : attrs.integers(name)) found |= 1u << (axis < 0 ? axis + rank : axis);
    return found & ((1u << rank) - 1);
}

// A spec as it is read in place of one of the shape of `whole`, which it broadcasts to.
inline Spec broadcast(const Spec& x, const Spec& whole) {
    Spec s = whole;
    s.dtype = x.dtype;
    for (int i = 0; i < whole.rank; i++) {
        int from = i - (whole.rank - x.rank);
        s.stride[i] = from < 0 || x.shape[from] == 1 ? 0 : x.stride[from];
    }
    return s;
}

inline bool broadcasts(const Spec& x, const Spec& whole) {
    if (x.rank > whole.rank) return false;
    for (int i = 0; i < x.rank; i++)
        if (x.shape[i] != 1 && x.shape[i] != whole.shape[whole.rank - x.rank + i]) return false;
    return true;
}

// Some axes of an array, in row-major order; those that lie one after the other are joined.
struct Axes {
    int rank = 0;
    int64_t size = 1;
    int64_t shape[max_rank], stride[max_rank];

    void add(int64_t n, int64_t step) {
        size *= n;
        if (n == 1) return;
        if (rank && stride[rank - 1] == n * step) {
            shape[rank - 1] *= n;
            stride[rank - 1] = step;
        } else {
            shape[rank] = n;
            stride[rank++] = step;
        }
    }
    int64_t offset(int64_t index) const {
        int64_t result = 0;
        for (int i = rank - 1; i > 0; i--) {
            result += index % shape[i] * stride[i];
            index /= shape[i];
        }
        return rank ? result + index * stride[0] : 0;
    }
    // Whether the elements lie side by side.
    bool dense() const { return rank == 0 || (rank == 1 && stride[0] == 1); }
};

// An array as rows: `inner` are the axes along a row, `outer` the others.
struct Rows {
    Axes outer, inner;

    Rows() = default;
    Rows(const Spec& x, uint32_t along) {
        for (int i = 0; i < x.rank; i++) (along >> i & 1 ? inner : outer).add(x.shape[i], x.stride[i]);
    }
    int64_t count() const { return outer.size; }
    int64_t length() const { return inner.size; }
    // Whether all rows are one and the same.
    bool constant() const {
        for (int i = 0; i < outer.rank; i++)
            if (outer.stride[i]) return false;
        return true;
    }

    // f(offset, n, step) for each run of elements of a row that lie evenly.
    template <class F> void runs(F&& f) const {
        int64_t n = inner.rank ? inner.shape[inner.rank - 1] : 1, step = inner.rank ? inner.stride[inner.rank - 1] : 1;
        Axes above = inner;
        above.rank = std::max(inner.rank - 1, 0);
        int64_t count = n ? inner.size / n : 0;
        for (int64_t i = 0; i < count; i++) f(above.offset(i), n, step);
    }
    template <class T> void read_into(const T* base, int64_t row, T* to) const {
        const T* from = base + outer.offset(row);
        runs([&](int64_t offset, int64_t n, int64_t step) {
            const T* p = from + offset;
            if (step == 1)
                to = std::copy(p, p + n, to);
            else
                for (int64_t i = 0; i < n; i++) *to++ = p[i * step];
        });
    }
    // The row, side by side: where it is, or in `buffer`.
    template <class T> const T* read(const T* base, int64_t row, T* buffer) const {
        if (inner.dense()) return base + outer.offset(row);
        read_into(base, row, buffer);
        return buffer;
    }
};

// Rows that do not lie side by side are moved in blocks, element by element through all rows of a block: where the
// elements of a row are far apart, its neighbours are near.
template <class T> class Blocks {
  protected:
    Blocks(const Rows& rows, int64_t end)
        : rows(rows), end(end), n(rows.length()), most(block(rows)),
          held(rows.inner.dense() ? 0 : pitch() * most * sizeof(T)) {}

    static int64_t block(const Rows& rows) {
        bool runs = rows.inner.rank == 0 || rows.inner.stride[rows.inner.rank - 1] == 1;
        int64_t bytes = std::max<int64_t>(rows.length() * sizeof(T), 1);
        return runs ? 1 : std::clamp<int64_t>((1 << 18) / bytes, 1, 16);
    }
    // From one row of the buffer to the next: not a power of two, whose multiples compete for the same cache lines.
    int64_t pitch() const { return n + 64 / sizeof(T); }
    // move(buffer element, array offset) for all elements of the block.
    template <class F> void each(F&& move) const {
        int64_t offset[16], count = stop - start, k = 0;
        T* to = held.template as<T>();
        for (int64_t r = 0; r < count; r++) offset[r] = rows.outer.offset(start + r);
        rows.runs([&](int64_t from, int64_t m, int64_t step) {
            for (int64_t j = 0; j < m; j++, k++)
                for (int64_t r = 0; r < count; r++) move(to[r * pitch() + k], from + j * step + offset[r]);
        });
    }

    const Rows& rows;
    int64_t end, n, most, start = 0, stop = 0;
    Scratch held;
};

// Reads rows one after the other, up to `end`.
template <class T> class Reader : Blocks<T> {
  public:
    Reader(const Rows& rows, const void* base, int64_t end) : Blocks<T>(rows, end), base(static_cast<const T*>(base)) {}

    const T* row(int64_t i) {
        if (this->rows.inner.dense()) return base + this->rows.outer.offset(i);
        if (i >= this->stop) {
            this->start = i;
            this->stop = std::min(i + this->most, this->end);
            this->each([&](T& to, int64_t at) { to = base[at]; });
        }
        return this->held.template as<T>() + (i - this->start) * this->pitch();
    }

  private:
    const T* base;
};

// Where to write rows to, one after the other; `done` after each brings them to their place in time.
template <class T> class Writer : Blocks<T> {
  public:
    Writer(const Rows& rows, void* base, int64_t end) : Blocks<T>(rows, end), base(static_cast<T*>(base)) {}

    T* row(int64_t i) {
        if (this->rows.inner.dense()) return base + this->rows.outer.offset(i);
        if (i >= this->stop) {
            this->start = i;
            this->stop = std::min(i + this->most, this->end);
        }
        return this->held.template as<T>() + (i - this->start) * this->pitch();
    }
    void done(int64_t i) {
        if (this->rows.inner.dense() || i + 1 < this->stop) return;
        this->each([&](T& from, int64_t at) { base[at] = from; });
    }

  private:
    T* base;
};

// f(begin, end) over ranges of rows, in parts that take about `part_ns` at `row_ns` each.
template <class F> void for_rows(Work& work, int64_t rows, double row_ns, F&& f, double part_ns = 20000) {
    if (rows <= 0) return;
    int64_t step = std::max<int64_t>(static_cast<int64_t>(part_ns / std::max(row_ns, 0.1)), 1);
    int64_t parts = (rows + step - 1) / step;
    if (parts == 1) return f(int64_t{0}, rows);
    step = (rows + parts - 1) / parts;
    work.parallel(parts, [&](int64_t i) {
        int64_t begin = std::min(i * step, rows);
        f(begin, std::min(begin + step, rows));
    });
}

// Says that the kernel may write output 0 over an input: where it reads each place before it writes it, and both are
// laid out alike.
inline std::unique_ptr<Kernel> over(std::unique_ptr<Kernel> made, const Signature& s, int input) {
    const Spec &x = s.inputs[input], &y = s.outputs[0];
    if (made && x.dtype == y.dtype && x.same_shape(y) && x.contiguous()) made->in_place = {uint64_t{1} << input};
    return made;
}

// make(T()) for a float or a double; nullptr for other dtypes, or when an operand has another one.
template <class F> std::unique_ptr<Kernel> for_floats(DType dtype, F&& make) {
    if (dtype == DType::f32) return make(float());
    if (dtype == DType::f64) return make(double());
    return nullptr;
}

}  // namespace fb::cpu::rows
