// Philox4x64-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
#include "graph/random.h"

#include "graph/digest.h"

#include <algorithm>
#include <cmath>

namespace fb::graph {

namespace {

// Words of the stream, in order. As NumPy does, it counts up before it draws.
class Philox {
  public:
    Philox(uint64_t key0, uint64_t key1, uint64_t run) : key{key0, key1}, counter{0, 0, run, 0} {}

    uint64_t next() {
        if (at == 4) {
            if (++counter[0] == 0) ++counter[1];
            block();
            at = 0;
        }
        return words[at++];
    }

  private:
    void block() {
        uint64_t k0 = key[0], k1 = key[1];
        for (int i = 0; i < 4; i++) words[i] = counter[i];
        for (int round = 0; round < 10; round++) {
            if (round) {
                k0 += 0x9E3779B97F4A7C15u;
                k1 += 0xBB67AE8584CAA73Bu;
            }
            unsigned __int128 a = static_cast<unsigned __int128>(0xD2E7470EE14C6C93u) * words[0];
            unsigned __int128 b = static_cast<unsigned __int128>(0xCA5A826395121157u) * words[2];
            uint64_t made[4] = {static_cast<uint64_t>(b >> 64) ^ words[1] ^ k0, static_cast<uint64_t>(b),
                                static_cast<uint64_t>(a >> 64) ^ words[3] ^ k1, static_cast<uint64_t>(a)};
            for (int i = 0; i < 4; i++) words[i] = made[i];
        }
    }

    uint64_t key[2], counter[4], words[4];
    int at = 4;
};

// Two numbers of 32 bits from a word, low half first.
class Halves {
  public:
    explicit Halves(Philox& from) : from(from) {}
    uint32_t next() {
        high = !high;
        if (high) word = from.next();
        return static_cast<uint32_t>(high ? word : word >> 32);
    }

  private:
    Philox& from;
    uint64_t word = 0;
    bool high = false;
};

template <class T> void scale(T* to, int64_t count, double factor, double offset) {
    auto f = static_cast<T>(factor), o = static_cast<T>(offset);
    for (int64_t k = 0; k < count; k++) {
        T scaled = to[k] * f;  // rounded by itself, as NumPy does
        to[k] = scaled + o;
    }
}

template <class T> void uniform(Philox& words, T* to, int64_t count, double low, double high) {
    Halves halves(words);
    for (int64_t k = 0; k < count; k++)
        to[k] = sizeof(T) == 8 ? static_cast<T>(words.next() >> 11) * static_cast<T>(0x1p-53)
                               : static_cast<T>(halves.next() >> 8) * static_cast<T>(0x1p-24);
    if (low != 0 || high != 1) scale(to, count, high - low, low);
}

// By pairs, in float64: Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.
template <class T> void normal(Philox& words, T* to, int64_t count, double mean, double deviation) {
    Halves halves(words);
    double unit = sizeof(T) == 8 ? 0x1p-53 : 0x1p-32;
    auto next = [&] { return static_cast<double>(sizeof(T) == 8 ? words.next() >> 11 : halves.next()); };
    for (int64_t k = 0; k < count; k += 2) {
        double u = (next() + 1) * unit, v = next() * (2 * M_PI * unit);
        double radius = std::sqrt(-2 * std::log(u));
        to[k] = static_cast<T>(radius * std::cos(v));
        if (k + 1 < count) to[k + 1] = static_cast<T>(radius * std::sin(v));
    }
    if (mean != 0 || deviation != 1) scale(to, count, deviation, mean);
}

}  // namespace

Path path_of(const Graph& graph, int32_t number, const Path& around) {
    const Node& node = graph.nodes[number];
    if (around.empty()) return {graph.cells[node.cell], node.name};
    Path path = around;
    path.push_back(node.name);
    return path;
}

SharedArray draw(const Graph& graph, int32_t number, const Spec& spec, uint64_t run, const Path& around) {
    const Node& node = graph.nodes[number];
    const Attr* seed = node.attrs.find("seed");
    std::string text = graph.seed;
    for (const std::string& each : path_of(graph, number, around)) text += "\x1f" + each;
    if (seed) text = "seed\x1f" + std::to_string(seed->i[0]);
    auto digest = blake2b(text, 16);
    uint64_t key[2];
    std::memcpy(key, digest.data(), 16);
    Philox words(key[0], key[1], run);
    auto made = std::make_shared<Array>(spec);
    int64_t count = spec.size();
    auto f32 = static_cast<float*>(made->data);
    auto f64 = static_cast<double*>(made->data);
    if (node.op == "random_uniform") {
        double low = node.attrs.real("low"), high = node.attrs.real("high");
        if (spec.dtype == DType::f32) uniform(words, f32, count, low, high);
        else uniform(words, f64, count, low, high);
    } else if (node.op == "random_normal") {
        double mean = node.attrs.real("mean"), deviation = node.attrs.real("scale");
        if (spec.dtype == DType::f32) normal(words, f32, count, mean, deviation);
        else normal(words, f64, count, mean, deviation);
    } else if (node.op == "random_integers") {
        // The top 64 bits of a product: Lemire, "Fast Random Integer Generation in an Interval", 2019.
        auto low = static_cast<uint64_t>(node.attrs.integer("low"));
        uint64_t span = static_cast<uint64_t>(node.attrs.integer("high")) - low;
        for (int64_t k = 0; k < count; k++) {
            uint64_t number = static_cast<uint64_t>(static_cast<unsigned __int128>(words.next()) * span >> 64) + low;
            std::memcpy(static_cast<char*>(made->data) + k * size_of(spec.dtype), &number,
                        static_cast<size_t>(size_of(spec.dtype)));
        }
    } else if (node.op == "random_permutation") {
        std::vector<std::pair<uint64_t, int64_t>> order;
        for (int64_t k = 0; k < count; k++) order.emplace_back(words.next(), k);
        std::sort(order.begin(), order.end());
        for (int64_t k = 0; k < count; k++) static_cast<int64_t*>(made->data)[k] = order[k].second;
    } else {
        Halves halves(words);
        double limit = std::nearbyint(node.attrs.real("p") * 0x1p32);
        for (int64_t k = 0; k < count; k++) static_cast<uint8_t*>(made->data)[k] = halves.next() < limit;
    }
    return made;
}

}  // namespace fb::graph
