// Picking parts of an array by number, and adding parts back where they came from.
#include "cpu/indices.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

// An axis of x, and what is before and after it.
struct Place {
    int axis;
    int64_t before = 1, size, after = 1;
    uint32_t inner = 0;  // the axes after it

    Place(const Spec& x, int64_t named) : axis(static_cast<int>(named < 0 ? named + x.rank : named)) {
        for (int i = 0; i < axis; i++) before *= x.shape[i];
        for (int i = axis + 1; i < x.rank; i++) {
            after *= x.shape[i];
            inner |= 1u << i;
        }
        size = x.shape[axis];
    }
};

constexpr int64_t ahead = 4;  // rows that are fetched before they are needed

template <class T> std::unique_ptr<Kernel> gather(const Signature& s) {
    const Spec& x = s.inputs[0];
    Spec indices = s.inputs[1];
    int64_t named = s.attrs.integer("axis", 0);
    Place at(x, named);
    Rows in(x, at.inner);
    int64_t count = indices.size(), rows = at.before * count, n = at.after;
    double row_ns = 4 + n * sizeof(T) * 0.08;
    return kernel(40 + row_ns * rows, [=](Work& work, const void* const* inputs, void* const* outputs) {
        Scratch numbers(count * sizeof(int64_t));
        auto index = numbers.as<int64_t>();
        read_indices(indices, inputs[1], index);
        for (int64_t k = 0; k < count; k++) {
            if (index[k] < -at.size || index[k] >= at.size)
                throw ShapeError("index " + std::to_string(index[k]) + " is out of range for axis " +
                                 std::to_string(named) + " of size " + std::to_string(at.size) + "\n" +
                                 (at.size ? "from " + std::to_string(-at.size) + " to " + std::to_string(at.size - 1)
                                          : "the axis is empty"));
            if (index[k] < 0) index[k] += at.size;
        }
        auto from = static_cast<const T*>(inputs[0]);
        auto to = static_cast<T*>(outputs[0]);
        if (!n) return;
        bool dense = in.inner.dense(), far = dense && n * sizeof(T) >= 64 && n * sizeof(T) <= 4096;
        for_rows(work, rows, row_ns, [&](int64_t begin, int64_t end) {
            auto source_of = [&](int64_t row) {
                return count == rows ? index[row] : row / count * at.size + index[row % count];
            };
            for (int64_t row = begin; row < end; row++) {
                int64_t source = source_of(row);
                const T* p = from + in.outer.offset(source);
                if (far && row + ahead < end) {  // no CPU guesses where the next rows are
                    auto next = reinterpret_cast<const char*>(from + in.outer.offset(source_of(row + ahead)));
                    for (int64_t byte = 0; byte < n * int64_t{sizeof(T)}; byte += 64) __builtin_prefetch(next + byte);
                }
                if (n == 1)
                    to[row] = *p;
                else if (dense)
                    std::memcpy(to + row * n, p, n * sizeof(T));
                else
                    in.read_into(from, source, to + row * n);
            }
        });
    });
}

// The numbers of the indices, sorted into `buckets` ranges of the axis; those of a bucket keep their order.
void sort_into(const int64_t* index, int64_t count, int64_t per_bucket, int64_t buckets, int64_t* order,
               int64_t* start) {
    std::fill(start, start + buckets + 1, 0);
    for (int64_t k = 0; k < count; k++) start[index[k] / per_bucket + 1]++;
    for (int64_t i = 0; i < buckets; i++) start[i + 1] += start[i];
    for (int64_t k = 0; k < count; k++) order[start[index[k] / per_bucket]++] = k;
    for (int64_t i = buckets; i > 0; i--) start[i] = start[i - 1];
    start[0] = 0;
}

constexpr int64_t most_buckets = 32, part_bytes = 1 << 20;

// Each part owns a range of the result, so every element gets its terms in the order of the indices.
template <class T> std::unique_ptr<Kernel> scatter_add(const Signature& s) {
    const Spec& dy = s.inputs[0];
    Spec indices = s.inputs[1];
    const Spec& like = s.outputs[0];
    Place at(like, s.attrs.integer("axis"));
    uint32_t inner = 0;
    for (int i = at.axis + indices.rank; i < dy.rank; i++) inner |= 1u << i;
    Rows in(dy, inner);
    int64_t count = indices.size(), n = at.after, size = std::max<int64_t>(at.size, 1);
    int64_t block_bytes = (at.size + 2 * count) * n * static_cast<int64_t>(sizeof(T));
    int64_t buckets = std::clamp<int64_t>(at.before > 1 ? 1 : block_bytes / part_bytes, 1, most_buckets);
    int64_t per_bucket = (size + buckets - 1) / buckets;
    int64_t blocks = std::clamp<int64_t>(at.before * block_bytes / part_bytes, 1, std::max<int64_t>(at.before, 1));
    int64_t per_block = (at.before + blocks - 1) / blocks;
    double cost = 40 + like.bytes() * 0.04 + dy.size() * sizeof(T) * 0.15;
    return kernel(cost, [=](Work& work, const void* const* inputs, void* const* outputs) {
        Scratch numbers(count * sizeof(int64_t)), sorted(count * sizeof(int64_t));
        auto index = numbers.as<int64_t>(), order = sorted.as<int64_t>();
        int64_t start[most_buckets + 1];
        read_indices(indices, inputs[1], index);
        for (int64_t k = 0; k < count; k++) index[k] = (index[k] % size + size) % size;
        sort_into(index, count, per_bucket, buckets, order, start);
        auto from = static_cast<const T*>(inputs[0]);
        auto to = static_cast<T*>(outputs[0]);
        if (!at.before || !at.size || !n) return;
        work.parallel(blocks * buckets, [&](int64_t part) {
            int64_t bucket = part % buckets, block = part / buckets;
            int64_t first = std::min(bucket * per_bucket, at.size), last = std::min(first + per_bucket, at.size);
            int64_t end = std::min((block + 1) * per_block, at.before);
            Scratch held(in.inner.dense() ? 0 : n * sizeof(T));
            for (int64_t b = block * per_block; b < end; b++) {
                T* base = to + b * at.size * n;
                std::memset(base + first * n, 0, (last - first) * n * sizeof(T));
                for (int64_t i = start[bucket]; i < start[bucket + 1]; i++) {
                    T* q = base + index[order[i]] * n;
                    const T* p = in.read(from, b * count + order[i], held.as<T>());
                    for (int64_t j = 0; j < n; j++) q[j] += p[j];
                }
            }
        });
    });
}

template <class T> std::unique_ptr<Kernel> one_hot(const Signature& s) {
    Spec indices = s.inputs[0];
    Place at(s.outputs[0], s.attrs.integer("axis"));
    int64_t count = indices.size(), depth = at.size, n = at.after;
    double row_ns = 3 + depth * n * sizeof(T) * 0.05;
    return kernel(40 + row_ns * at.before, [=](Work& work, const void* const* inputs, void* const* outputs) {
        Scratch numbers(count * sizeof(int64_t));
        auto index = numbers.as<int64_t>();
        read_indices(indices, inputs[0], index);
        auto to = static_cast<T*>(outputs[0]);
        for_rows(work, at.before, row_ns, [&](int64_t begin, int64_t end) {
            std::memset(to + begin * depth * n, 0, (end - begin) * depth * n * sizeof(T));
            for (int64_t row = begin; row < end; row++)
                for (int64_t j = 0; j < n; j++) {
                    int64_t hot = index[row * n + j];
                    if (hot >= 0 && hot < depth) to[(row * depth + hot) * n + j] = 1;
                }
        });
    });
}

}  // namespace

std::unique_ptr<Kernel> make_gather(const Signature& s) {
    if (!holds_indices(s.inputs[1]) || s.inputs[0].rank == 0) return nullptr;
    switch (size_of(s.inputs[0].dtype)) {
        case 1: return gather<uint8_t>(s);
        case 2: return gather<uint16_t>(s);
        case 4: return gather<uint32_t>(s);
        default: return gather<uint64_t>(s);
    }
}

std::unique_ptr<Kernel> make_scatter_add(const Signature& s) {
    if (!holds_indices(s.inputs[1]) || s.outputs[0].rank == 0) return nullptr;
    if (s.inputs[0].dtype != s.outputs[0].dtype) return nullptr;
    switch (s.inputs[0].dtype) {
        case DType::f32: return scatter_add<float>(s);
        case DType::f64: return scatter_add<double>(s);
        case DType::i32: return scatter_add<uint32_t>(s);  // unsigned sums wrap, as NumPy's do
        case DType::i64: return scatter_add<uint64_t>(s);
        default: return nullptr;
    }
}

std::unique_ptr<Kernel> make_one_hot(const Signature& s) {
    if (!holds_indices(s.inputs[0])) return nullptr;
    DType dtype = s.outputs[0].dtype;
    if (dtype == DType::f32) return one_hot<float>(s);
    if (dtype == DType::f64) return one_hot<double>(s);
    switch (size_of(dtype)) {
        case 1: return one_hot<uint8_t>(s);
        case 2: return one_hot<uint16_t>(s);
        case 4: return one_hot<uint32_t>(s);
        default: return one_hot<uint64_t>(s);
    }
}

}  // namespace fb::cpu
