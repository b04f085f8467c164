// The cross entropy of a softmax against probabilities or class numbers, and what it passes back to its logits.
#include "cpu/indices.h"
#include "cpu/softmax.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

constexpr double row_cost(int64_t n, int64_t item) { return 20 + n * item * 0.12; }

// Reads the class numbers; raises for the first that is none.
void read_labels(const Spec& labels, const void* from, int64_t classes, int64_t* to) {
    read_indices(labels, from, to);
    for (int64_t i = 0, size = labels.size(); i < size; i++)
        if (to[i] < 0 || to[i] >= classes)
            throw Error("label " + std::to_string(to[i]) + " at " + place_of(labels, i) +
                        " is not a class: logits have " + std::to_string(classes) +
                        " classes\nlabels run from 0 to " + std::to_string(classes - 1));
}

// The loss is log(total) - picked for each row; the logarithms of many rows are taken together.
template <class T>
void sparse_rows(const Rows& in, const void* logits, const int64_t* label, T* loss, int64_t begin, int64_t end) {
    int64_t n = in.length();
    Reader<T> x(in, logits, end);
    constexpr int64_t size = Pack<T>::size;
    alignas(64) T total[size], picked[size];
    for (int64_t block = begin; block < end; block += size) {
        int64_t count = std::min(size, end - block);
        for (int64_t i = 0; i < count; i++) {
            const T* p = x.row(block + i);
            T top = largest(p, n);
            total[i] = sum_of_exp(p, n, top, [](int64_t, auto, auto) {});
            picked[i] = p[label[block + i]] - top;
        }
        for (int64_t i = count; i < size; i++) total[i] = 1;
        store_part(loss + block, count, log(load_pack(total)) - load_part(picked, count));
    }
}

template <class T> std::unique_ptr<Kernel> sparse(const Signature& s) {
    Spec labels = s.inputs[0];
    const Spec& logits = s.inputs[1];
    Rows in(logits, 1u << (logits.rank - 1));
    int64_t n = in.length(), count = in.count();
    double row_ns = row_cost(n, sizeof(T));
    return kernel(40 + row_ns * count, [=](Work& work, const void* const* inputs, void* const* outputs) {
        Scratch numbers(count * sizeof(int64_t));
        auto label = numbers.as<int64_t>();
        read_labels(labels, inputs[0], n, label);
        auto loss = static_cast<T*>(outputs[0]);
        for_rows(work, count, row_ns,
                 [&](int64_t begin, int64_t end) { sparse_rows(in, inputs[1], label, loss, begin, end); });
    });
}

template <class T> std::unique_ptr<Kernel> sparse_grad(const Signature& s) {
    Spec dy = s.inputs[0], labels = s.inputs[1];
    const Spec& logits = s.inputs[2];
    Rows in(logits, 1u << (logits.rank - 1)), weights(dy, (1u << dy.rank) - 1);
    int64_t n = in.length(), count = in.count();
    double row_ns = row_cost(n, sizeof(T));
    return kernel(40 + row_ns * count, [=](Work& work, const void* const* inputs, void* const* outputs) {
        Scratch numbers(count * sizeof(int64_t)), factors(count * sizeof(T));
        auto label = numbers.as<int64_t>();
        read_labels(labels, inputs[1], n, label);
        const T* weight = weights.read(static_cast<const T*>(inputs[0]), 0, factors.as<T>());
        auto out = static_cast<T*>(outputs[0]);
        for_rows(work, count, row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> x(in, inputs[2], end);
            for (int64_t row = begin; row < end; row++) {
                T* y = out + row * n;
                softmax_row(x.row(row), y, n);
                y[label[row]] -= 1;
                Pack<T> factor(weight[row]);
                for_packs<T>(n, [&](int64_t i, auto lanes) { put(y + i, lanes, get(y + i, lanes) * factor); });
            }
        });
    });
}

template <class T> T dense_row(const T* labels, const T* x, int64_t n) {
    T top = largest(x, n);
    Pack<T> total(log_of(sum_of_exp(x, n, top, [](int64_t, auto, auto) {})));
    return sum_of(add_packs<T>(n, [&](Pack<T> loss, int64_t i, auto count) {
        Pack<T> y = total - (get(x + i, count) - Pack<T>(top));
        return loss + within(y * get(labels + i, count), count);
    }));
}

template <class T> std::unique_ptr<Kernel> dense(const Signature& s) {
    uint32_t last = 1u << (s.inputs[1].rank - 1);
    Rows targets(s.inputs[0], last), in(s.inputs[1], last);
    int64_t n = in.length(), count = in.count();
    double row_ns = row_cost(n, sizeof(T));
    return kernel(20 + row_ns * count, [=](Work& work, const void* const* inputs, void* const* outputs) {
        auto loss = static_cast<T*>(outputs[0]);
        for_rows(work, count, row_ns, [&](int64_t begin, int64_t end) {
            Reader<T> labels(targets, inputs[0], end), x(in, inputs[1], end);
            for (int64_t row = begin; row < end; row++)
                loss[row] = n ? dense_row(labels.row(row), x.row(row), n) : T(0);
        });
    });
}

// Whether a has the shape of the rows of b.
bool one_each(const Spec& a, const Spec& b) {
    if (b.rank == 0 || a.rank != b.rank - 1) return false;
    return std::equal(a.shape, a.shape + a.rank, b.shape);
}

}  // namespace

std::unique_ptr<Kernel> make_sparse_softmax_cross_entropy(const Signature& s) {
    if (!holds_indices(s.inputs[0]) || !one_each(s.inputs[0], s.inputs[1])) return nullptr;
    return for_floats(s.inputs[1].dtype, [&](auto t) { return sparse<decltype(t)>(s); });
}

std::unique_ptr<Kernel> make_sparse_softmax_cross_entropy_grad(const Signature& s) {
    const Spec &dy = s.inputs[0], &labels = s.inputs[1], &logits = s.inputs[2];
    if (!holds_indices(labels) || !one_each(labels, logits) || !one_each(dy, logits)) return nullptr;
    if (dy.dtype != logits.dtype) return nullptr;
    return over(for_floats(logits.dtype, [&](auto t) { return sparse_grad<decltype(t)>(s); }), s, 2);
}

std::unique_ptr<Kernel> make_softmax_cross_entropy(const Signature& s) {
    const Spec &labels = s.inputs[0], &logits = s.inputs[1];
    if (labels.dtype != logits.dtype || !labels.same_shape(logits) || logits.rank == 0) return nullptr;
    return for_floats(logits.dtype, [&](auto t) { return dense<decltype(t)>(s); });
}

}  // namespace fb::cpu
