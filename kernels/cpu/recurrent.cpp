// One step of LSTM and GRU, forwards and backwards: every row of gates is read once, and nothing is kept in between.
// The formulas are those of the reference kernels (flowbook/ops/recurrent.py).
#include "cpu/rowpack.h"
#include "cpu/rows.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

using namespace rows;

// The inputs of one row, each side by side in memory; and where the outputs go.
template <class T> using In = const T* const*;
template <class T> using Out = T* const*;

template <class T> FB_INLINE Pack<T> less_one(Pack<T> x) { return Pack<T>(1) - x; }

template <class T> struct LstmGates {
    Pack<T> i, f, g, o;

    template <class N> FB_INLINE LstmGates(const T* gates, int64_t size, N n)
        : i(sigmoid(get(gates, n))), f(sigmoid(get(gates + size, n))), g(tanh(get(gates + 2 * size, n))),
          o(sigmoid(get(gates + 3 * size, n))) {}
};

template <class T> struct Lstm {
    static constexpr double ns = 0.16;  // for a byte of the state

    static FB_INLINE void row(In<T> in, Out<T> out, int64_t size) {
        for_packs<T>(size, [&](int64_t k, auto n) {
            const T* gates = in[0] + k;
            Pack<T> fresh = gated_tanh(get(gates, n), get(gates + 2 * size, n));
            Pack<T> c = muladd(sigmoid(get(gates + size, n)), get(in[1] + k, n), fresh);
            put(out[0] + k, n, gated_tanh(get(gates + 3 * size, n), c));
            put(out[1] + k, n, c);
        });
    }
};

template <class T> struct LstmGrad {
    static constexpr double ns = 0.2;

    static FB_INLINE void row(In<T> in, Out<T> out, int64_t size) {
        for_packs<T>(size, [&](int64_t k, auto n) {
            LstmGates<T> a(in[2] + k, size, n);
            Pack<T> dh = get(in[0] + k, n), c = get(in[3] + k, n);
            Pack<T> t = tanh(muladd(a.f, c, a.i * a.g));
            Pack<T> total = muladd(dh * a.o, less_one(t * t), get(in[1] + k, n));
            T* gates = out[0] + k;
            put(gates, n, total * a.g * a.i * less_one(a.i));
            put(gates + size, n, total * c * a.f * less_one(a.f));
            put(gates + 2 * size, n, total * a.i * less_one(a.g * a.g));
            put(gates + 3 * size, n, dh * t * a.o * less_one(a.o));
            put(out[1] + k, n, total * a.f);
        });
    }
};

template <class T> struct GruGates {
    Pack<T> r, z, hn, n;

    template <class N> FB_INLINE GruGates(const T* x, const T* h, int64_t size, N count)
        : r(sigmoid(get(x, count) + get(h, count))), z(sigmoid(get(x + size, count) + get(h + size, count))),
          hn(get(h + 2 * size, count)), n(tanh(muladd(r, hn, get(x + 2 * size, count)))) {}
};

template <class T> struct Gru {
    static constexpr double ns = 0.1;

    static FB_INLINE void row(In<T> in, Out<T> out, int64_t size) {
        for_packs<T>(size, [&](int64_t k, auto n) {
            GruGates<T> a(in[0] + k, in[1] + k, size, n);
            put(out[0] + k, n, muladd(a.z, get(in[2] + k, n) - a.n, a.n));
        });
    }
};

template <class T> struct GruGrad {
    static constexpr double ns = 0.14;

    static FB_INLINE void row(In<T> in, Out<T> out, int64_t size) {
        for_packs<T>(size, [&](int64_t k, auto n) {
            GruGates<T> a(in[1] + k, in[2] + k, size, n);
            Pack<T> dy = get(in[0] + k, n);
            Pack<T> dn = dy * less_one(a.z) * less_one(a.n * a.n);
            Pack<T> dr = dn * a.hn * a.r * less_one(a.r);
            Pack<T> dz = dy * (get(in[3] + k, n) - a.n) * a.z * less_one(a.z);
            T *x = out[0] + k, *h = out[1] + k;
            put(x, n, dr);
            put(x + size, n, dz);
            put(x + 2 * size, n, dn);
            put(h, n, dr);
            put(h + size, n, dz);
            put(h + 2 * size, n, dn * a.r);
            put(out[2] + k, n, dy * a.z);
        });
    }
};

constexpr int most = 4;

template <class T, class Cell> std::unique_ptr<Kernel> cell(const Signature& s, const Spec& state) {
    int inputs_count = static_cast<int>(s.inputs.size()), outputs_count = static_cast<int>(s.outputs.size());
    uint32_t last = 1u << (state.rank - 1);
    Rows rows[most];
    int64_t widths[most];
    for (int i = 0; i < inputs_count; i++) rows[i] = Rows(s.inputs[i], last);
    for (int i = 0; i < outputs_count; i++) widths[i] = s.outputs[i].shape[state.rank - 1];
    int64_t size = state.shape[state.rank - 1], count = rows[0].count();
    double row_ns = 10 + Cell::ns * size * sizeof(T);
    return kernel(20 + count * row_ns, [=](Work& work, const void* const* inputs, void* const* outputs) {
        for_rows(work, count, row_ns, [&](int64_t begin, int64_t end) {
            int64_t room = 0;
            for (int i = 0; i < inputs_count; i++) room += rows[i].inner.dense() ? 0 : rows[i].length();
            Scratch held(room * sizeof(T));
            for (int64_t row = begin; row < end; row++) {
                const T* in[most];
                T *out[most], *buffer = held.as<T>();
                for (int i = 0; i < inputs_count; i++) {
                    in[i] = rows[i].read(static_cast<const T*>(inputs[i]), row, buffer);
                    if (!rows[i].inner.dense()) buffer += rows[i].length();
                }
                for (int i = 0; i < outputs_count; i++) out[i] = static_cast<T*>(outputs[i]) + row * widths[i];
                Cell::row(in, out, size);
            }
        });
    });
}

// Whether all operands are of one dtype, and rows of `parts[i]` times the length of the state's.
bool fits(const Signature& s, const Spec& state, std::initializer_list<int> parts) {
    if (state.rank == 0) return false;
    const int* part = parts.begin();
    for (const Spec& x : s.inputs) {
        if (x.dtype != state.dtype || x.rank != state.rank) return false;
        for (int i = 0; i < x.rank; i++)
            if (x.shape[i] != state.shape[i] * (i == x.rank - 1 ? *part : 1)) return false;
        part++;
    }
    return true;
}

template <template <class> class Cell>
std::unique_ptr<Kernel> make(const Signature& s, std::initializer_list<int> parts, int in_place) {
    if (s.inputs.size() != parts.size()) return nullptr;
    Spec state = s.inputs.back();
    if (!fits(s, state, parts)) return nullptr;
    auto made = for_floats(state.dtype, [&](auto t) { return cell<decltype(t), Cell<decltype(t)>>(s, state); });
    return over(std::move(made), s, in_place);
}

}  // namespace

std::unique_ptr<Kernel> make_lstm_cell(const Signature& s) { return make<Lstm>(s, {4, 1}, 1); }
std::unique_ptr<Kernel> make_lstm_cell_grad(const Signature& s) { return make<LstmGrad>(s, {1, 1, 4, 1}, 2); }
std::unique_ptr<Kernel> make_gru_cell(const Signature& s) { return make<Gru>(s, {3, 3, 1}, 2); }
std::unique_ptr<Kernel> make_gru_cell_grad(const Signature& s) { return make<GruGrad>(s, {1, 3, 3, 1}, 1); }

}  // namespace fb::cpu
