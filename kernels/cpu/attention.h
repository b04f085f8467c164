// What both kernels of attention share: sizes, where each head lies, what a query may see, and products of blocks.
//
// Neither holds the matrix of queries and keys: they go through it in blocks. Scores of a block are a product of packed
// keys, and what is made of them is the left operand of the next products, where it lies.
#pragma once

#include "cpu/gemm_tiles.h"
#include "cpu/math.h"
#include "cpu/rowpack.h"
#include "cpu/rows.h"

#include <limits>

namespace fb::cpu::attention {

using rows::Axes;

// A block: so many keys, whole vectors of them, and a few runs of rows, of which each is the tallest tile.
constexpr int64_t most_keys = 256;
constexpr int64_t row_unit = 14;
constexpr int64_t group_runs = 5;

template <class T> constexpr T low = std::numeric_limits<T>::lowest();  // the score of a key that does not count

// A row-major buffer whose rows are whole cache lines, an odd number of them: rows do not compete for places.
template <class T> constexpr int64_t pitch_of(int64_t columns) {
    constexpr int64_t line = 64 / sizeof(T);
    return (std::max<int64_t>(up(columns, line), 1) | 1) * line;
}

// An operand by heads: the axes before its last two, as the result has them.
struct Operand {
    Axes lead;
    int64_t row = 0, column = 0;

    Operand() = default;
    // `rows` and `columns`: of the matrices; an axis of size 1 in their place is repeated.
    Operand(const Spec& x, const Spec& result, int result_axes, int64_t rows, int64_t columns) {
        const int leading = result.rank - result_axes;
        for (int i = 0; i < leading; i++) {
            const int from = i - leading + x.rank - result_axes;
            lead.add(result.shape[i], from < 0 || x.shape[from] == 1 ? 0 : x.stride[from]);
        }
        auto step = [&](int back, int64_t size) {
            const int axis = x.rank - back;
            return axis < 0 || (x.shape[axis] == 1 && size != 1) ? 0 : x.stride[axis];
        };
        row = step(result_axes, rows);
        column = result_axes == 2 ? step(1, columns) : 0;
    }
    template <class T> Matrix<T> at(const void* base, int64_t head) const {
        return {static_cast<const T*>(base) + lead.offset(head), row, column};
    }
};

// Which keys a query of one head may see.
struct Sight {
    int64_t queries, keys;
    bool causal;
    const uint8_t* mask;  // or nullptr
    int64_t row, column;

    // No key from here on.
    int64_t reach(int64_t query) const {
        return causal ? std::clamp<int64_t>(query + keys - queries + 1, 0, keys) : keys;
    }
    // Whether it may look nowhere: then all its scores are 0.
    bool blind(int64_t query) const {
        const int64_t n = reach(query);
        if (!mask) return n == 0;
        const uint8_t* p = mask + query * row;
        for (int64_t k = 0; k < n; k++, p += column)
            if (*p) return false;
        return true;
    }
    // The same for some queries, of which this is the last, when scores that do not count may be left out.
    int64_t needs(int64_t last, const uint8_t* blind, int64_t count) const {
        return std::find(blind, blind + count, 1) != blind + count ? keys : reach(last);
    }
    bool partial(int64_t query, int64_t end) const { return mask || reach(query) < end; }
    // Of n numbers for the keys from `begin` on, those that do not count.
    template <class T> void hide(T* x, int64_t query, int64_t begin, int64_t n, T fill) const {
        const int64_t seen = std::clamp<int64_t>(reach(query) - begin, 0, n);
        if (mask) {
            const uint8_t* p = mask + query * row + begin * column;
            if (column == 1)
                for (int64_t k = 0; k < seen; k++) x[k] = p[k] ? x[k] : fill;
            else
                for (int64_t k = 0; k < seen; k++, p += column) x[k] = *p ? x[k] : fill;
        }
        std::fill(x + seen, x + n, fill);
    }
};

// So many keys of a block of n, when `wanted` are needed: whole pairs of packs, so that sums are added up in the order
// that they have without this.
inline int64_t some_keys(int64_t wanted, int64_t n) {
    constexpr int64_t pair = 32;
    return std::min(up(std::max<int64_t>(wanted, 0), pair) * pair, n);
}

// The sizes of a call, and its operands; `ok` is false for what the kernels do not do.
struct Call {
    int64_t heads = 1, queries = 0, keys = 0, depth = 0, width = 0;
    bool causal = false, masked = false, ok = false;
    Operand query, key, value, mask;
    Cut blocks{0, 0};  // of keys, in units of `unit`
    static constexpr int64_t unit = 16;

    // `first`: which input is the query. `result` has the leading axes and two more.
    Call(const Signature& s, size_t first, const Spec& result) {
        const size_t count = s.inputs.size() - first;
        if (s.inputs.size() < first + 3 || count > 4 || result.rank < 2) return;
        const Spec &q = s.inputs[first], &k = s.inputs[first + 1], &v = s.inputs[first + 2];
        if (!is_float(q.dtype)) return;
        for (size_t i = 0; i < first + 3; i++)
            if (s.inputs[i].dtype != q.dtype) return;
        for (const Spec& each : s.outputs)
            if (each.dtype != q.dtype) return;
        if (q.rank < 2 || k.rank < 2 || v.rank < 2) return;
        queries = q.shape[q.rank - 2], depth = q.shape[q.rank - 1];
        keys = k.shape[k.rank - 2], width = v.shape[v.rank - 1];
        if (k.shape[k.rank - 1] != depth || v.shape[v.rank - 2] != keys) return;
        if (!leads(q, result) || !leads(k, result) || !leads(v, result)) return;
        for (int i = 0; i < result.rank - 2; i++) heads *= result.shape[i];
        query = Operand(q, result, 2, queries, depth);
        key = Operand(k, result, 2, keys, depth);
        value = Operand(v, result, 2, keys, width);
        if (count == 4) {
            const Spec& m = s.inputs[first + 3];
            if (m.dtype != DType::b1 || !leads(m, result)) return;
            const int64_t sizes[] = {keys, queries};
            for (int back = 1; back <= std::min(m.rank, 2); back++)
                if (int64_t n = m.shape[m.rank - back]; n != 1 && n != sizes[back - 1]) return;
            masked = true;
            mask = Operand(m, result, 2, queries, keys);
        }
        causal = s.attrs.integer("causal") != 0;
        const int64_t units = up(keys, unit);
        blocks = {units, std::max<int64_t>(up(units, most_keys / unit), 1)};
        ok = true;
    }

    Sight sight(const void* data, int64_t head) const {
        const uint8_t* at = masked ? static_cast<const uint8_t*>(data) + mask.lead.offset(head) : nullptr;
        return {queries, keys, causal, at, mask.row, mask.column};
    }
    double scale() const { return 1 / std::sqrt(static_cast<double>(std::max<int64_t>(depth, 1))); }
    int64_t block(int64_t i) const { return std::min(blocks.at(i) * unit, keys); }  // where it begins
    int64_t longest() const { return std::min(most_keys, up(keys, unit) * unit); }

  private:
    static bool leads(const Spec& x, const Spec& result) {
        for (int i = 3; i <= x.rank; i++)
            if (i > result.rank || (x.shape[x.rank - i] != 1 && x.shape[x.rank - i] != result.shape[result.rank - i]))
                return false;
        return true;
    }
};

// Whether all numbers are finite: what is multiplied with a weight of 0 is 0 then, and may be left out.
template <class T> bool finite(Matrix<T> x, int64_t height, int64_t width) {
    rows::Pack<T> all(0);
    T rest = 0;
    for (int64_t i = 0; i < height; i++) {
        const T* p = x.at(i, 0);
        if (x.column == 1)
            rows::for_packs<T>(width, [&](int64_t j, auto count) {
                all = rows::muladd(rows::get(p + j, count), rows::Pack<T>(0), all);
            });
        else
            for (int64_t j = 0; j < width; j++) rest += p[j * x.column] * 0;
    }
    return rows::sum_of(all) + rest == 0;
}

// A matrix as the right operand: panels of `tile_columns`, packed or read where they lie.
template <class T> struct Right {
    const T* data;
    int64_t columns, panel, step;  // a step of 0: packed, each panel as wide as it has to be
    int64_t whole = columns;       // that were packed

    Panel<T> operator()(int64_t j) const {
        return {data + j * panel, step ? step : width_of<T>(whole - j * tile_columns<T>)};
    }
    Right first(int64_t some) const { return {data, some, panel, step, whole}; }
};

template <class T> int64_t packed_size(int64_t columns, int64_t steps) {
    return up(columns, tile_columns<T>) * b_panel<T>(steps) + lanes<T>;
}
template <class T> Right<T> packed(Matrix<T> x, int64_t columns, int64_t steps, T* to) {
    pack_b(x, columns, 0, up(columns, tile_columns<T>), steps, to, b_panel<T>(steps));
    return {to, columns, b_panel<T>(steps), 0};
}
// Rows with room for whole vectors.
template <class T> Right<T> lying(const T* x, int64_t columns, int64_t pitch) {
    return {x, columns, tile_columns<T>, pitch};
}

// c = a b, or c += a b, with `a` of m rows and `steps` columns in a buffer, or, with rows_adjacent, its transpose.
template <class T>
void multiply(Lie lie, const T* a, int64_t a_step, int64_t m, const Right<T>& b, int64_t steps, T* c, int64_t c_step,
              bool add) {
    const Cut cut = row_panels(m);
    const int64_t row = lie == Lie::rows_adjacent ? 1 : a_step;
    auto left = [&](int64_t i) -> Panel<T> { return {a + cut.at(i) * row, a_step}; };
    Target<T> to = {c, nullptr, c_step, add ? Target<T>::what_is_in_c : Target<T>::nothing, true};
    tiles<T>(cut, 0, cut.count, lie, left, b.columns, 0, up(b.columns, tile_columns<T>), b, steps, to);
}

// Rows of x, times `factor`, with zeros where the buffer is wider.
template <class T> void copy_rows(Matrix<T> x, int64_t height, int64_t width, T* to, int64_t pitch, T factor) {
    for (int64_t i = 0; i < height; i++, to += pitch) {
        const T* from = x.at(i, 0);
        if (x.column == 1)
            for (int64_t j = 0; j < width; j++) to[j] = from[j] * factor;
        else
            for (int64_t j = 0; j < width; j++) to[j] = from[j * x.column] * factor;
        std::fill(to + width, to + pitch, T(0));
    }
}

// e^x for x up to 1; the result is 0 for what lies far below, and nan stays nan. Bound: 1.1 ulp.
template <class T> FB_INLINE rows::Pack<T> weight_of(rows::Pack<T> x) {
    constexpr T least = sizeof(T) == 4 ? T(-104) : T(-746);
    for (vec<T>& v : x.v) {
        vec<T> n, e = math::exp_head(rows::larger<T>(splat(least), v), n);
        v = math::scale(e + 1, n);
    }
    return x;
}

// Nanoseconds for multiply-adds and for exponentials.
template <class T> double cost_of(double products, double exponentials) {
    const double rate = vector_bytes == 64 ? 3.4 * lanes<T> : vector_bytes == 32 ? 6.4 * lanes<T> : 3.2 * lanes<T>;
    return products / rate + exponentials * sizeof(T) * 0.12;
}

}  // namespace fb::cpu::attention
