#include "cpu/reduce.h"

#include <limits>
#include <type_traits>

namespace fb::cpu {

namespace {

// What is done to two values, what it starts from, and whether the dtype of the elements is wide enough for a block.
struct Sum {
    template <class A> static A start() { return 0; }
    template <class A> static A of(A a, A b) {
        if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
        else return a + b;
    }
    template <class T> static constexpr bool narrow = std::is_floating_point_v<T>;
};
struct Product {
    template <class A> static A start() { return 1; }
    template <class A> static A of(A a, A b) {
        if constexpr (std::is_integral_v<A>) return static_cast<A>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
        else return a * b;
    }
    template <class T> static constexpr bool narrow = false;
};
// nan wins.
struct Max {
    template <class A> static A start() {
        if constexpr (std::is_floating_point_v<A>) return -std::numeric_limits<A>::infinity();
        else return std::numeric_limits<A>::min();
    }
    template <class A> static A of(A a, A b) {
        A r = a > b ? a : b;
        return a != a ? a : r;
    }
    template <class T> static constexpr bool narrow = true;
};
struct Min {
    template <class A> static A start() {
        if constexpr (std::is_floating_point_v<A>) return std::numeric_limits<A>::infinity();
        else return std::numeric_limits<A>::max();
    }
    template <class A> static A of(A a, A b) {
        A r = a < b ? a : b;
        return a != a ? a : r;
    }
    template <class T> static constexpr bool narrow = true;
};

template <class T, class R, bool mean> struct Reduce {
    using Acc = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
    using Near = std::conditional_t<R::template narrow<T>, T, Acc>;
    static constexpr int width = 256 / sizeof(Near);  // lanes of a block; the same for every CPU

    static Near block(const T* x, int64_t n) {
        if (n < 16) {
            Near r = R::template start<Near>();
            for (int64_t i = 0; i < n; i++) r = R::of(r, static_cast<Near>(x[i]));
            return r;
        }
        alignas(64) Near lane[width];
        int64_t i = 0;
        if constexpr (R::template narrow<T>) {
            constexpr int count = width / lanes<T>;
            vec<T> v[count];
            for (int k = 0; k < count; k++) v[k] = splat(R::template start<T>());
            for (; i + width <= n; i += width)
                for (int k = 0; k < count; k++) v[k] = R::of(v[k], load(x + i + k * lanes<T>));
            for (int k = 0; k < count; k++) store(lane + k * lanes<T>, v[k]);
        } else {
            for (int j = 0; j < width; j++) lane[j] = R::template start<Near>();
            for (; i + width <= n; i += width)
                for (int j = 0; j < width; j++) lane[j] = R::of(lane[j], static_cast<Near>(x[i + j]));
        }
        for (int j = 0; i + j < n; j++) lane[j] = R::of(lane[j], static_cast<Near>(x[i + j]));
        for (int half = width / 2; half; half /= 2)
            for (int j = 0; j < half; j++) lane[j] = R::of(lane[j], lane[j + half]);
        return lane[0];
    }
    static void rows(const void* from, int64_t rows, int64_t length, void* to) {
        auto x = static_cast<const T*>(from);
        auto acc = static_cast<Acc*>(to);
        for (int64_t r = 0; r < rows; r++) acc[r] = R::of(acc[r], static_cast<Acc>(block(x + r * length, length)));
    }
    static void columns(const void* from, int64_t n, void* to) {
        auto x = static_cast<const T*>(from);
        auto tile = static_cast<Near*>(to);
        FB_INDEPENDENT
        for (int64_t i = 0; i < n; i++) tile[i] = R::of(tile[i], static_cast<Near>(x[i]));
    }
    static void clear_tile(void* to, int64_t n) {
        auto tile = static_cast<Near*>(to);
        for (int64_t i = 0; i < n; i++) tile[i] = R::template start<Near>();
    }
    static void flush(const void* from, int64_t n, void* to) {
        auto tile = static_cast<const Near*>(from);
        auto acc = static_cast<Acc*>(to);
        FB_INDEPENDENT
        for (int64_t i = 0; i < n; i++) acc[i] = R::of(acc[i], static_cast<Acc>(tile[i]));
    }
    static void clear(void* to, int64_t n) {
        auto acc = static_cast<Acc*>(to);
        for (int64_t i = 0; i < n; i++) acc[i] = R::template start<Acc>();
    }
    static void merge(void* to, const void* more, int64_t n) {
        auto acc = static_cast<Acc*>(to);
        auto x = static_cast<const Acc*>(more);
        FB_INDEPENDENT
        for (int64_t i = 0; i < n; i++) acc[i] = R::of(acc[i], x[i]);
    }
    static void finish(const void* from, int64_t n, double count, void* to) {
        auto acc = static_cast<const Acc*>(from);
        auto out = static_cast<T*>(to);
        for (int64_t i = 0; i < n; i++) out[i] = static_cast<T>(mean ? static_cast<Acc>(acc[i] / count) : acc[i]);
    }
    static constexpr Reducer table = {rows, columns, clear_tile, flush, clear, merge, finish, sizeof(Near)};
};

// Of bools any is the largest and all the smallest: 0 and 1 among int64, starting from the least that a bool can be.
struct Any : Max {
    template <class A> static A start() { return 0; }
};
struct All : Min {
    template <class A> static A start() { return 1; }
};

template <class T> const Reducer* of(Op op) {
    switch (op) {
        case Op::reduce_sum: return &Reduce<T, Sum, false>::table;
        case Op::reduce_prod: return &Reduce<T, Product, false>::table;
        case Op::reduce_max: return &Reduce<T, Max, false>::table;
        case Op::reduce_min: return &Reduce<T, Min, false>::table;
        case Op::reduce_mean: return std::is_floating_point_v<T> ? &Reduce<T, Sum, true>::table : nullptr;
        default: return nullptr;
    }
}

}  // namespace

const Reducer* find_reducer(Op op, DType t) {
    switch (t) {
        case DType::b1:
            if (op == Op::reduce_max) return &Reduce<uint8_t, Any, false>::table;
            return op == Op::reduce_min ? &Reduce<uint8_t, All, false>::table : nullptr;
        case DType::i32: return of<int32_t>(op);
        case DType::i64: return of<int64_t>(op);
        case DType::f32: return of<float>(op);
        case DType::f64: return of<double>(op);
        default: return nullptr;
    }
}

std::vector<Group> reduced_groups(const std::vector<int64_t>& shape, int64_t mask) {
    std::vector<Group> groups;
    for (size_t i = 0; i < shape.size(); i++) {
        bool reduced = mask >> i & 1;
        if (shape[i] == 1) continue;
        if (!groups.empty() && groups.back().reduced == reduced)
            groups.back().size *= shape[i];
        else
            groups.push_back({shape[i], reduced});
    }
    bool any = false;
    for (auto& each : groups) any = any || each.reduced;
    if (!any) groups.push_back({1, true});
    return groups;
}

void merge_groups(const Reducer& reducer, const std::vector<Group>& groups, const void* acc, double count, void* to) {
    // The kept groups at the end are one run of accumulators.
    size_t outer = groups.size();
    int64_t run = 1, kept = 1, rows = 1;
    while (outer && !groups[outer - 1].reduced) run *= groups[--outer].size;
    for (size_t i = 0; i < outer; i++) {
        rows *= groups[i].size;
        if (!groups[i].reduced) kept *= groups[i].size;
    }
    Scratch results(kept * run * 8);
    auto total = results.as<char>();
    reducer.clear(total, kept * run);
    for (int64_t row = 0; row < rows; row++) {
        int64_t rest = row, place = 0, step = 1;
        for (size_t i = outer; i-- > 0; rest /= groups[i].size) {
            if (groups[i].reduced) continue;
            place += rest % groups[i].size * step;
            step *= groups[i].size;
        }
        reducer.merge(total + place * run * 8, static_cast<const char*>(acc) + row * run * 8, run);
    }
    reducer.finish(total, kept * run, count, to);
}

}  // namespace fb::cpu
