// Scaled dot-product attention. For each row of the result a running maximum of its scores, a running sum of the
// exponentials and the sum of the values they weigh; where the maximum grows, what is there is scaled down. Sources:
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al., "FlashAttention", 2022.
//
// A row's numbers depend on the blocks of keys, which `keys` decides, not on the rows beside it.
#include "cpu/attention.h"
#include "cpu/softmax.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace attention;
using rows::Pack;

constexpr int64_t most_runs = 36;  // of a part, which packs the keys for itself
constexpr int64_t enough_parts = 16;

// The state of some rows.
template <class T> struct State {
    T *found, *top, *total;
    int64_t pitch;
};

// Takes the scores of one more block into row i: they become weights, still to be divided by the total.
template <class T> void take(const State<T>& s, int64_t i, T* scores, int64_t n, int64_t width, bool first) {
    const T top = std::max(s.top[i], rows::largest(scores, n));
    const T sum = rows::sum_of(rows::add_packs<T>(n, [&](Pack<T> all, int64_t j, auto count) {
        Pack<T> weight = weight_of(rows::get(scores + j, count) - Pack<T>(top));
        rows::put(scores + j, count, weight);
        return all + rows::within(weight, count);
    }));
    if (first) {
        s.total[i] = sum;
    } else if (top == s.top[i]) {
        s.total[i] += sum;
    } else {
        const T factor = weight_of(Pack<T>(s.top[i] - top)).v[0][0];
        s.total[i] = s.total[i] * factor + sum;
        T* found = s.found + i * s.pitch;
        rows::for_packs<T>(width, [&](int64_t j, auto count) {
            rows::put(found + j, count, rows::get(found + j, count) * Pack<T>(factor));
        });
    }
    s.top[i] = top;
}

// Rows `begin` to `end` of one head.
template <class T>
void forward(const Call& c, const void* const* in, int64_t head, int64_t begin, int64_t end, T* found, T* totals) {
    const Matrix<T> key = c.key.at<T>(in[1], head), value = c.value.at<T>(in[2], head);
    const Sight sight = c.sight(c.masked ? in[3] : nullptr, head);
    const int64_t height = end - begin, longest = c.longest();
    const int64_t query_pitch = pitch_of<T>(c.depth), pitch = pitch_of<T>(c.width), score_pitch = pitch_of<T>(longest);
    const int64_t runs = up(height, row_unit);
    const Cut cut = {runs, up(runs, group_runs)};
    auto group_at = [&](int64_t group) { return std::min(cut.at(group) * row_unit, height); };
    Scratch a(height * query_pitch * sizeof(T)), b(height * (pitch + 2) * sizeof(T)), d(height);
    Scratch e(group_runs * row_unit * score_pitch * sizeof(T)), f(packed_size<T>(longest, c.depth) * sizeof(T)),
        g(packed_size<T>(c.width, longest) * sizeof(T));
    T *queries = a.as<T>(), *scores = e.as<T>();
    const State<T> state = {b.as<T>(), b.as<T>() + height * pitch, b.as<T>() + height * (pitch + 1), pitch};
    auto blind = d.as<uint8_t>();

    copy_rows(c.query.at<T>(in[0], head).from(begin, 0), height, c.depth, queries, query_pitch, T(c.scale()));
    std::fill_n(state.top, height, low<T>);
    for (int64_t i = 0; i < height; i++) blind[i] = sight.blind(begin + i);
    const bool skips = c.causal && finite(value, c.keys, c.width);
    auto needs = [&](int64_t group) {  // no key from here on
        const int64_t from = group_at(group), to = group_at(group + 1);
        return skips ? sight.needs(begin + to - 1, blind + from, to - from) : c.keys;
    };
    int64_t needed = 0;
    for (int64_t i = 0; i < cut.count; i++) needed = std::max(needed, needs(i));

    for (int64_t block = 0; block < c.blocks.count && c.block(block) < needed; block++) {
        const int64_t k = c.block(block), n = c.block(block + 1) - k;
        const Right<T> keys = packed(key.from(k, 0).transposed(), n, c.depth, f.as<T>());
        const Right<T> values = packed(value.from(k, 0), c.width, n, g.as<T>());
        for (int64_t group = 0; group < cut.count; group++) {
            const int64_t from = group_at(group), some = group_at(group + 1) - from;
            const int64_t seen = some_keys(needs(group) - k, n);
            if (!seen) continue;
            multiply(Lie::steps_adjacent, queries + from * query_pitch, query_pitch, some, keys.first(seen), c.depth,
                     scores, score_pitch, false);
            for (int64_t i = 0; i < some; i++) {
                const int64_t row = begin + from + i;
                T* s = scores + i * score_pitch;
                if (sight.partial(row, k + seen)) sight.hide(s, row, k, seen, blind[from + i] ? T(0) : low<T>);
                take(state, from + i, s, seen, c.width, block == 0);
            }
            multiply(Lie::steps_adjacent, scores, score_pitch, some, values, seen, state.found + from * pitch, pitch,
                     block > 0);
        }
    }

    for (int64_t i = 0; i < height; i++) {
        T* to = found + (head * c.queries + begin + i) * c.width;
        const T* from = state.found + i * pitch;
        const T total = c.keys ? state.total[i] : T(0), factor = 1 / total;
        if (c.keys)
            for (int64_t j = 0; j < c.width; j++) to[j] = from[j] * factor;
        else
            std::fill_n(to, c.width, T(0));
        totals[head * c.queries + begin + i] = c.keys ? rows::log_of(total) + state.top[i]
                                                      : -std::numeric_limits<T>::infinity();
    }
}

template <class T> std::unique_ptr<Kernel> make(const Call& c) {
    const double pairs = static_cast<double>(c.keys) * (c.causal ? 0.6 : 1);
    const double row_ns = 20 + c.width * 0.5 + cost_of<T>(pairs * static_cast<double>(c.depth + c.width), pairs);
    const int64_t runs = up(c.queries, row_unit);
    const int64_t wanted = std::max(up(runs, most_runs), up(enough_parts, std::max<int64_t>(c.heads, 1)));
    const Cut cut = {runs, std::clamp<int64_t>(wanted, 1, std::max<int64_t>(up(runs, group_runs), 1))};
    const int64_t items = c.heads * cut.count;
    const double item_ns = c.queries * row_ns / cut.count + (c.keys * (c.depth + c.width)) * 0.15;
    return kernel(50 + item_ns * items, [=](Work& work, const void* const* in, void* const* out) {
        rows::for_rows(work, items, item_ns, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const int64_t from = cut.at(i % cut.count) * row_unit, to = cut.at(i % cut.count + 1) * row_unit;
                forward(c, in, i / cut.count, from, std::min(to, c.queries), static_cast<T*>(out[0]),
                        static_cast<T*>(out[1]));
            }
        });
    });
}

}  // namespace

std::unique_ptr<Kernel> make_attention(const Signature& s) {
    if (s.outputs.size() != 2) return nullptr;
    const Call call(s, 0, s.outputs[0]);
    if (!call.ok) return nullptr;
    return rows::for_floats(s.inputs[0].dtype, [&](auto t) { return make<decltype(t)>(call); });
}

}  // namespace fb::cpu
