// Batch normalisation of arrays (..., channels), forwards and backwards. The formulas are those of the reference
// kernels (flowbook/ops/batch_norm.py).
//
// Memory decides the speed, so the array is read twice: once for its sums and once for the result. A tile of some rows
// is summed while it is in the cache: first its mean, then, for the variance, the distances to that. Sums of a tile, of
// at most 256 rows, are in the dtype itself; tiles and parts are joined in double by the formula of Chan, Golub and
// LeVeque, "Algorithms for computing the sample variance", 1983. So with u the rounding unit of the dtype the mean is
// within u |mean| + 260 u sigma of the true one, and the variance within 260 u of its size, however large the mean is;
// what the mean loses when it is rounded to a float is put back where it is subtracted.
#include "cpu/channels.h"
#include "cpu/table.h"

#include <cmath>

namespace fb::cpu {

namespace {

using namespace rows;

// The mean, and the sum of squared distances to it, of so many numbers; joined with those of others.
FB_INLINE void join(double& mean, double& squares, double count, double other, double more, double others) {
    double apart = other - mean, share = others / (count + others);
    mean += std::isfinite(apart) ? apart * share : other;
    squares += more + apart * apart * count * share;
}

// ------------------------------------------------------------------------------------------------ forwards

// Mean and squares of part i of x, at their channels.
template <class T>
void measure(const Cut& cut, const Tiles<T>& tiles, const void* x, int64_t i, double* mean, double* squares) {
    int64_t first = cut.first(i), width = cut.last(i) - first, begin = cut.begin(i);
    Scratch held(bytes_of<T>(3, width)), buffer(tiles.room());
    T *near = floats<T>(held, 0, width), *sums[] = {floats<T>(held, 1, width), floats<T>(held, 2, width)};
    for (int64_t row = begin; row < cut.end(i); row += cut.tile) {
        int64_t end = std::min(row + cut.tile, cut.end(i)), n = end - row;
        Tile<T> tile = tiles.get(x, row, end, first, first + width, buffer.as<T>());
        sum_rows<T, 1>(n, width, &near, [&](int64_t k, int64_t j, auto count, Pack<T>* sum) {
            sum[0] = sum[0] + tile.at(k, j, count);
        });
        for (int64_t j = 0; j < width; j++) near[j] /= static_cast<T>(n);
        sum_rows<T, 2>(n, width, sums, [&](int64_t k, int64_t j, auto count, Pack<T>* sum) {
            Pack<T> d = tile.at(k, j, count) - get(near + j, count);
            sum[0] = sum[0] + d;
            sum[1] = muladd(d, d, sum[1]);
        });
        auto rows = static_cast<double>(n), before = static_cast<double>(row - begin);
        for (int64_t j = 0; j < width; j++) {
            double off = sums[0][j] / rows, more = sums[1][j];
            double middle = std::isfinite(near[j]) ? near[j] + off : near[j];
            if (std::isfinite(more)) more = std::max(more - off * sums[0][j], 0.0);
            if (row != begin) {
                join(mean[first + j], squares[first + j], before, middle, more, rows);
            } else {
                mean[first + j] = middle;
                squares[first + j] = more;
            }
        }
    }
}

template <class T> std::unique_ptr<Kernel> forward(const Signature& s) {
    const Spec& whole = s.inputs[0];
    int64_t channels = whole.shape[whole.rank - 1], rows = channels ? whole.size() / channels : 0;
    Cut cut(rows, channels, sizeof(T));
    Tiles<T> tiles(whole, cut);
    int64_t step[5];
    for (int k = 1; k < 5; k++) step[k] = s.inputs[k].stride[0];
    double epsilon = s.attrs.real("epsilon");
    bool choice = s.inputs.size() > 5;
    return kernel(cut.nanoseconds(3, sizeof(T)), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto value = [&](int k, int64_t c) { return static_cast<double>(static_cast<const T*>(inputs[k])[c * step[k]]); };
        auto y = static_cast<T*>(outputs[0]), mean = static_cast<T*>(outputs[1]), variance = static_cast<T*>(outputs[2]);
        bool batch = rows && (!choice || *static_cast<const uint8_t*>(inputs[5]));
        Scratch partial(batch ? 2 * cut.row_parts * channels * sizeof(double) : 0), held(bytes_of<T>(3, channels));
        auto means = partial.as<double>(), squares = means + cut.row_parts * channels;
        if (batch)
            work.parallel(cut.count(), [&](int64_t i) {
                int64_t at = i % cut.row_parts * channels;
                measure(cut, tiles, inputs[0], i, means + at, squares + at);
            });
        T *near = floats<T>(held, 0, channels), *by = floats<T>(held, 1, channels), *plus = floats<T>(held, 2, channels);
        if (batch)
            for (int64_t part = 1; part < cut.row_parts; part++) {
                auto before = static_cast<double>(part * cut.part), more = static_cast<double>(cut.end(part)) - before;
                const double *other = means + part * channels, *others = squares + part * channels;
                for (int64_t c = 0; c < channels; c++) join(means[c], squares[c], before, other[c], others[c], more);
            }
        for (int64_t c = 0; c < channels; c++) {
            double m = batch ? means[c] : value(1, c);
            double v = batch ? squares[c] / static_cast<double>(rows) : value(2, c);
            double factor = value(3, c) / std::sqrt(v + epsilon);
            mean[c] = near[c] = static_cast<T>(m);
            variance[c] = static_cast<T>(v);
            by[c] = static_cast<T>(factor);
            double lost = (m - near[c]) * factor;
            plus[c] = static_cast<T>(batch && std::isfinite(lost) ? value(4, c) - lost : value(4, c));
        }
        // Last first: what was read last may still be in the cache.
        work.parallel(cut.count(), [&](int64_t turn) {
            int64_t i = cut.count() - 1 - turn, first = cut.first(i), width = cut.last(i) - first;
            Scratch buffer(tiles.room());
            for (int64_t row = cut.begin(i); row < cut.end(i); row += cut.tile) {
                int64_t end = std::min(row + cut.tile, cut.end(i));
                Tile<T> tile = tiles.get(inputs[0], row, end, first, first + width, buffer.as<T>());
                for (int64_t k = 0; k < end - row; k++) {
                    T* to = y + (row + k) * channels + first;
                    for_packs<T>(width, [&](int64_t j, auto count) {
                        Pack<T> d = tile.at(k, j, count) - get(near + first + j, count);
                        put(to + j, count, muladd(d, get(by + first + j, count), get(plus + first + j, count)));
                    });
                }
            }
        });
    });
}

// ------------------------------------------------------------------------------------------------ backwards

constexpr int sums_of_grad = 3;  // dy, dy (x - mean), x - mean

template <class T>
void gather(const Cut& cut, const Tiles<T>& dys, const Tiles<T>& xs, const void* dy, const void* x, const T* mean,
            int64_t i, double* const* totals) {
    int64_t first = cut.first(i), width = cut.last(i) - first, begin = cut.begin(i);
    Scratch held(bytes_of<T>(sums_of_grad, width)), dy_room(dys.room()), x_room(xs.room());
    T* sums[sums_of_grad];
    for (int k = 0; k < sums_of_grad; k++) sums[k] = floats<T>(held, k, width);
    for (int64_t row = begin; row < cut.end(i); row += cut.tile) {
        int64_t end = std::min(row + cut.tile, cut.end(i));
        Tile<T> g = dys.get(dy, row, end, first, first + width, dy_room.template as<T>());
        Tile<T> tile = xs.get(x, row, end, first, first + width, x_room.template as<T>());
        sum_rows<T, sums_of_grad>(end - row, width, sums, [&](int64_t k, int64_t j, auto count, Pack<T>* sum) {
            Pack<T> slope = g.at(k, j, count), d = tile.at(k, j, count) - get(mean + first + j, count);
            sum[0] = sum[0] + slope;
            sum[1] = muladd(slope, d, sum[1]);
            sum[2] = sum[2] + d;
        });
        for (int k = 0; k < sums_of_grad; k++) {
            double* to = totals[k] + first;
            for (int64_t j = 0; j < width; j++) to[j] = (row == begin ? 0 : to[j]) + sums[k][j];
        }
    }
}

template <class T> std::unique_ptr<Kernel> backward(const Signature& s) {
    enum { dy_, dmean_, dvariance_, x_, mean_, variance_, scale_, training_ };
    const Spec& whole = s.inputs[x_];
    int64_t channels = whole.shape[whole.rank - 1], rows = channels ? whole.size() / channels : 0;
    Cut cut(rows, channels, sizeof(T));
    Tiles<T> dys(s.inputs[dy_], cut), xs(whole, cut);
    int64_t step[training_] = {};
    for (int k : {dmean_, dvariance_, mean_, variance_, scale_}) step[k] = s.inputs[k].stride[0];
    double epsilon = s.attrs.real("epsilon");
    bool choice = s.inputs.size() > training_;
    return kernel(cut.nanoseconds(5, sizeof(T)), [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto value = [&](int k, int64_t c) { return static_cast<double>(static_cast<const T*>(inputs[k])[c * step[k]]); };
        T* out[5];
        for (int k = 0; k < 5; k++) out[k] = static_cast<T*>(outputs[k]);
        bool batch = rows && (!choice || *static_cast<const uint8_t*>(inputs[training_]));
        int64_t size = cut.row_parts * channels;
        Scratch partial(sums_of_grad * size * sizeof(double)), held(bytes_of<T>(4, channels));
        double* sums[sums_of_grad];
        for (int k = 0; k < sums_of_grad; k++) sums[k] = partial.as<double>() + k * size;
        T *near = floats<T>(held, 0, channels), *by = floats<T>(held, 1, channels);
        T *slope = floats<T>(held, 2, channels), *plus = floats<T>(held, 3, channels);
        for (int64_t c = 0; c < channels; c++) near[c] = static_cast<const T*>(inputs[mean_])[c * step[mean_]];
        work.parallel(cut.count(), [&](int64_t i) {
            double* totals[sums_of_grad];
            for (int k = 0; k < sums_of_grad; k++) totals[k] = sums[k] + i % cut.row_parts * channels;
            gather(cut, dys, xs, inputs[dy_], inputs[x_], near, i, totals);
        });
        for (double* total : sums)
            for (int64_t part = 1; part < cut.row_parts; part++)
                for (int64_t c = 0; c < channels; c++) total[c] += total[part * channels + c];
        for (int64_t c = 0; c < channels; c++) {
            double dmean = value(dmean_, c), dvariance = value(dvariance_, c);
            if (!rows) {
                out[1][c] = out[2][c] = 0;
                out[3][c] = static_cast<T>(dmean);
                out[4][c] = static_cast<T>(dvariance);
                continue;
            }
            double total = sums[0][c], product = sums[1][c];
            double factor = 1 / std::sqrt(value(variance_, c) + epsilon), gain = value(scale_, c) * factor;
            by[c] = static_cast<T>(gain);
            if (batch) {
                auto n = static_cast<double>(rows);
                double lost = sums[2][c] / n;  // of the mean, by rounding
                product -= lost * total;
                double bend = (2 * dvariance - gain * factor * factor * product) / n;
                slope[c] = static_cast<T>(bend);
                plus[c] = static_cast<T>((dmean - gain * total) / n - bend * lost);
            }
            out[1][c] = static_cast<T>(product * factor);
            out[2][c] = static_cast<T>(total);
            out[3][c] = static_cast<T>(batch ? 0 : dmean - gain * total);
            out[4][c] = static_cast<T>(batch ? 0 : dvariance - gain * factor * factor * product / 2);
        }
        work.parallel(cut.count(), [&](int64_t turn) {
            int64_t i = cut.count() - 1 - turn, first = cut.first(i), last = cut.last(i), width = last - first;
            Scratch dy_room(dys.room()), x_room(batch ? xs.room() : 0);
            for (int64_t row = cut.begin(i); row < cut.end(i); row += cut.tile) {
                int64_t end = std::min(row + cut.tile, cut.end(i));
                Tile<T> g = dys.get(inputs[dy_], row, end, first, last, dy_room.template as<T>()), tile{};
                if (batch) tile = xs.get(inputs[x_], row, end, first, last, x_room.template as<T>());
                for (int64_t k = 0; k < end - row; k++) {
                    T* to = out[0] + (row + k) * channels + first;
                    if (batch)
                        for_packs<T>(width, [&](int64_t j, auto count) {
                            Pack<T> d = tile.at(k, j, count) - get(near + first + j, count);
                            d = muladd(d, get(slope + first + j, count), get(plus + first + j, count));
                            put(to + j, count, muladd(g.at(k, j, count), get(by + first + j, count), d));
                        });
                    else
                        for_packs<T>(width, [&](int64_t j, auto count) {
                            put(to + j, count, g.at(k, j, count) * get(by + first + j, count));
                        });
                }
            }
        });
    });
}

// Whether the inputs are of one dtype, those in `wholes` of the shape of x, and the others a number for each channel;
// and a bool may follow.
bool fits(const Signature& s, const Spec& x, size_t count, std::initializer_list<size_t> wholes) {
    if (x.rank < 2 || s.inputs.size() < count || s.inputs.size() > count + 1) return false;
    for (size_t k = 0; k < count; k++) {
        const Spec& each = s.inputs[k];
        bool whole = std::find(wholes.begin(), wholes.end(), k) != wholes.end();
        if (each.dtype != x.dtype || (whole && !each.same_shape(x))) return false;
        if (!whole && (each.rank != 1 || each.shape[0] != x.shape[x.rank - 1])) return false;
    }
    return s.inputs.size() == count || (s.inputs[count].dtype == DType::b1 && s.inputs[count].rank == 0);
}

}  // namespace

std::unique_ptr<Kernel> make_batch_norm(const Signature& s) {
    if (s.inputs.empty() || !fits(s, s.inputs[0], 5, {0})) return nullptr;
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return forward<decltype(t)>(s); }), s, 0);
}

std::unique_ptr<Kernel> make_batch_norm_grad(const Signature& s) {
    if (s.inputs.size() < 7 || !fits(s, s.inputs[3], 7, {0, 3})) return nullptr;
    return over(for_floats(s.inputs[0].dtype, [&](auto t) { return backward<decltype(t)>(s); }), s, 0);
}

}  // namespace fb::cpu
