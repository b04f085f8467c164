// The gradient of attention, for which a block of weights is computed once more: P = exp(S - total), and with the
// gradient G of the result Y: dV = P' G, dP = G V', dS = P * (dP - rows of (G * Y) + dtotal), dQ = dS K, dK = dS' Q.
// Source: Dao et al., "FlashAttention", 2022, appendix B.
//
// A part has a range of the keys of one head, and goes through its blocks of keys and, for each, all blocks of queries.
// Few heads are cut into several ranges; the gradients that they have for the queries are added up in order.
#include "cpu/attention.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace attention;
using rows::Pack;

constexpr int64_t enough_parts = 8;

enum Input { dy_at, dtotal_at, found_at, total_at, query_at, key_at, value_at, mask_at };

struct Backward : Call {
    Operand dy, found, dtotal, total;
    Cut ranges{0, 1};  // of blocks of keys

    Backward(const Signature& s, const Spec& result, const Spec& sums) : Call(s, query_at, result) {
        if (!ok) return;
        dy = Operand(s.inputs[dy_at], result, 2, queries, width);
        found = Operand(s.inputs[found_at], result, 2, queries, width);
        dtotal = Operand(s.inputs[dtotal_at], sums, 1, queries, 1);
        total = Operand(s.inputs[total_at], sums, 1, queries, 1);
        const int64_t wanted = heads < enough_parts ? up(enough_parts, std::max<int64_t>(heads, 1)) : 1;
        ranges = {blocks.count, std::min(wanted, blocks.count)};
    }
};

// What the parts of a head know of each query.
template <class T> struct Rows {
    T *query, *dy, *total, *inner;
    uint8_t* blind;
    int64_t query_pitch, dy_pitch;
};

template <class T> void read(const Backward& c, const void* const* in, int64_t head, const Rows<T>& r) {
    copy_rows(c.query.at<T>(in[query_at], head), c.queries, c.depth, r.query, r.query_pitch, T(1));
    copy_rows(c.dy.at<T>(in[dy_at], head), c.queries, c.width, r.dy, r.dy_pitch, T(1));
    const Matrix<T> found = c.found.at<T>(in[found_at], head);
    const Matrix<T> total = c.total.at<T>(in[total_at], head), dtotal = c.dtotal.at<T>(in[dtotal_at], head);
    const Sight sight = c.sight(c.masked ? in[mask_at] : nullptr, head);
    Scratch scratch(c.width * sizeof(T));
    for (int64_t i = 0; i < c.queries; i++) {
        const T *y = found.at(i, 0), *g = r.dy + i * r.dy_pitch;
        if (found.column != 1) {
            copy_rows(found.from(i, 0), 1, c.width, scratch.as<T>(), c.width, T(1));
            y = scratch.as<T>();
        }
        Pack<T> sum = rows::add_packs<T>(c.width, [&](Pack<T> all, int64_t j, auto count) {
            return rows::muladd(rows::get(y + j, count), rows::get(g + j, count), all);
        });
        r.inner[i] = rows::sum_of(sum) - *dtotal.at(i, 0);
        r.total[i] = *total.at(i, 0);
        r.blind[i] = sight.blind(i);
    }
}

// Scores become weights, and the products of dy and the values become slopes.
template <class T> void slopes(T* s, T* d, int64_t n, T scale, T total, T inner) {
    rows::for_packs<T>(n, [&](int64_t j, auto count) {
        Pack<T> x = rows::muladd(rows::get(s + j, count), Pack<T>(scale), Pack<T>(-total));
        // At most 1, as the reference kernel has it; in this order nan stays nan.
        Pack<T> weight = weight_of(-rows::larger(Pack<T>(-1), -x));
        rows::put(s + j, count, weight);
        rows::put(d + j, count, weight * (rows::get(d + j, count) - Pack<T>(inner)) * Pack<T>(scale));
    });
}

// One range of keys. `dq` gets what they give to the queries.
template <class T>
void backward(const Backward& c, const void* const* in, int64_t head, int64_t range, T* dq, T* dk, T* dv) {
    const int64_t begin = c.block(c.ranges.at(range)), end = c.block(c.ranges.at(range + 1)), longest = c.longest();
    const Matrix<T> key = c.key.at<T>(in[key_at], head), value = c.value.at<T>(in[value_at], head);
    const Sight sight = c.sight(c.masked ? in[mask_at] : nullptr, head);
    const int64_t pitch = pitch_of<T>(longest), query_pitch = pitch_of<T>(c.depth), dy_pitch = pitch_of<T>(c.width);
    Scratch a(c.queries * (query_pitch + dy_pitch + 2) * sizeof(T)), b(c.queries);
    Scratch d(2 * group_runs * row_unit * pitch * sizeof(T));
    Scratch e(packed_size<T>(longest, c.depth) * sizeof(T)), f(packed_size<T>(longest, c.width) * sizeof(T)),
        g(packed_size<T>(c.depth, longest) * sizeof(T));
    const Rows<T> r = {a.as<T>(),
                       a.as<T>() + c.queries * query_pitch,
                       a.as<T>() + c.queries * (query_pitch + dy_pitch),
                       a.as<T>() + c.queries * (query_pitch + dy_pitch + 1),
                       b.as<uint8_t>(),
                       query_pitch,
                       dy_pitch};
    T *weights = d.as<T>(), *changes = weights + group_runs * row_unit * pitch;
    const T scale = T(c.scale());
    read(c, in, head, r);
    const bool skips = c.causal && finite<T>({r.query, query_pitch, 1}, c.queries, c.depth) &&
                       finite<T>({r.dy, dy_pitch, 1}, c.queries, c.width) &&
                       finite(key.from(begin, 0), end - begin, c.depth) &&
                       finite(value.from(begin, 0), end - begin, c.width);
    const int64_t runs = up(c.queries, row_unit);
    const Cut cut = {runs, up(runs, group_runs)};

    for (int64_t block = c.ranges.at(range); block < c.ranges.at(range + 1); block++) {
        const int64_t k = c.block(block), n = c.block(block + 1) - k;
        const Right<T> keys = packed(key.from(k, 0).transposed(), n, c.depth, e.as<T>());
        const Right<T> values = packed(value.from(k, 0).transposed(), n, c.width, f.as<T>());
        const Right<T> key_rows = packed(key.from(k, 0), c.depth, n, g.as<T>());
        bool add = skips;
        const bool first = k == begin;
        if (skips) {
            std::fill_n(dk + k * c.depth, n * c.depth, T(0));
            std::fill_n(dv + k * c.width, n * c.width, T(0));
        }
        for (int64_t group = 0; group < cut.count; group++) {
            const int64_t from = cut.at(group) * row_unit, to = std::min(cut.at(group + 1) * row_unit, c.queries);
            const int64_t some = to - from;
            T* to_query = dq + from * c.depth;
            const int64_t seen = some_keys((skips ? sight.needs(to - 1, r.blind + from, some) : c.keys) - k, n);
            if (!seen && c.keys) {
                if (first) std::fill_n(to_query, some * c.depth, T(0));  // it sees no later block either
                continue;
            }
            const T *query = r.query + from * query_pitch, *dy = r.dy + from * dy_pitch;
            multiply(Lie::steps_adjacent, query, query_pitch, some, keys.first(seen), c.depth, weights, pitch, false);
            multiply(Lie::steps_adjacent, dy, dy_pitch, some, values.first(seen), c.width, changes, pitch, false);
            for (int64_t i = 0; i < some; i++) {
                const int64_t row = from + i;
                T *s = weights + i * pitch, *x = changes + i * pitch;
                const bool partial = sight.partial(row, k + seen);
                if (partial) sight.hide(s, row, k, seen, r.blind[row] ? T(0) : low<T>);
                slopes(s, x, seen, scale, r.total[row], r.inner[row]);
                if (partial) sight.hide(x, row, k, seen, T(0));
            }
            multiply(Lie::rows_adjacent, weights, pitch, seen, lying(dy, c.width, dy_pitch), some,
                     dv + k * c.width, c.width, add);
            multiply(Lie::rows_adjacent, changes, pitch, seen, lying(query, c.depth, query_pitch), some,
                     dk + k * c.depth, c.depth, add);
            multiply(Lie::steps_adjacent, changes, pitch, some, key_rows, seen, to_query, c.depth, !first);
            add = true;
        }
        if (!add) {  // no queries
            std::fill_n(dk + k * c.depth, n * c.depth, T(0));
            std::fill_n(dv + k * c.width, n * c.width, T(0));
        }
    }
}

template <class T> std::unique_ptr<Kernel> make(const Backward& c) {
    const double pairs = static_cast<double>(c.queries) * static_cast<double>(c.keys) * (c.causal ? 0.6 : 1);
    const auto depth = static_cast<double>(c.depth), width = static_cast<double>(c.width);
    const double head_ns = 50 + cost_of<T>(pairs * (3 * depth + 2 * width), 1.5 * pairs);
    const int64_t ranges = c.ranges.count, items = c.heads * ranges, size = c.queries * c.depth;
    return kernel(50 + head_ns * c.heads, [=](Work& work, const void* const* in, void* const* out) {
        auto dq = static_cast<T*>(out[0]), dk = static_cast<T*>(out[1]), dv = static_cast<T*>(out[2]);
        Scratch sums(ranges > 1 ? items * size * sizeof(T) : 0);
        T* to = ranges > 1 ? sums.as<T>() : dq;
        rows::for_rows(work, items, head_ns / ranges, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++)
                backward(c, in, i / ranges, i % ranges, to + i * size, dk + i / ranges * c.keys * c.depth,
                         dv + i / ranges * c.keys * c.width);
        });
        if (ranges == 1) return;
        rows::for_rows(work, c.heads, size * ranges * 0.2, [&](int64_t begin, int64_t end) {
            for (int64_t head = begin; head < end; head++)
                for (int64_t i = 0; i < size; i++) {
                    T total = 0;
                    for (int64_t range = 0; range < ranges; range++) total += to[(head * ranges + range) * size + i];
                    dq[head * size + i] = total;
                }
        });
    });
}

}  // namespace

std::unique_ptr<Kernel> make_attention_grad(const Signature& s) {
    if (s.inputs.size() < 7 || s.outputs.size() != 3) return nullptr;
    const Spec &query = s.inputs[query_at], &result = s.inputs[found_at], &sums = s.inputs[total_at];
    const Spec& dq = s.outputs[0];
    if (!result.same_shape(s.inputs[dy_at]) || !sums.same_shape(s.inputs[dtotal_at])) return nullptr;
    if (result.rank != sums.rank + 1 || dq.rank != result.rank || query.rank < 2) return nullptr;
    for (int i = 0; i < sums.rank; i++)
        if (sums.shape[i] != result.shape[i] || dq.shape[i] != result.shape[i]) return nullptr;
    const Backward call(s, result, sums);
    if (!call.ok || call.queries != result.shape[result.rank - 2] || call.width != result.shape[result.rank - 1])
        return nullptr;
    return rows::for_floats(query.dtype, [&](auto t) { return make<decltype(t)>(call); });
}

}  // namespace fb::cpu
