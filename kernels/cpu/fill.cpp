// Results that depend on shapes only: zeros_like, ones_like, mean_weight, causal_mask.
#include "cpu/pieces.h"
#include "cpu/rows.h"
#include "cpu/table.h"

#include <limits>

namespace fb::cpu {

namespace {

Attr number(double x) {
    Attr a;
    a.kind = Attr::real;
    a.r = {x};
    return a;
}

std::unique_ptr<Kernel> filled(const Signature& s, double value) {
    uint64_t bits;
    if (!bits_of(s.outputs[0].dtype, number(value), bits)) return nullptr;
    return move_pieces(s, {}, bits, true);
}

}  // namespace

std::unique_ptr<Kernel> make_zeros_like(const Signature& s) { return filled(s, 0); }
std::unique_ptr<Kernel> make_ones_like(const Signature& s) { return filled(s, 1); }

std::unique_ptr<Kernel> make_mean_weight(const Signature& s) {
    const Spec& x = s.inputs[0];
    uint32_t axis = rows::axis_bits(s.attrs, x.rank);
    double count = -s.attrs.real("correction");
    int64_t entries = 1;
    for (int i = 0; i < x.rank; i++)
        if (axis >> i & 1) entries *= x.shape[i];
    count += static_cast<double>(entries);
    if (!is_float(x.dtype)) return nullptr;
    return filled(s, count > 0 ? 1 / count : std::numeric_limits<double>::quiet_NaN());
}

std::unique_ptr<Kernel> make_causal_mask(const Signature& s) {
    int64_t queries = s.outputs[0].shape[0], keys = s.outputs[0].shape[1];
    double row_ns = 5 + keys * 0.05;
    return kernel(20 + queries * row_ns, [=](Work& work, const void* const*, void* const* outputs) {
        auto out = static_cast<uint8_t*>(outputs[0]);
        rows::for_rows(work, queries, row_ns, [&](int64_t begin, int64_t end) {
            for (int64_t query = begin; query < end; query++) {
                int64_t seen = std::clamp<int64_t>(query + keys - queries + 1, 0, keys);
                std::fill_n(out + query * keys, seen, uint8_t{1});
                std::fill_n(out + query * keys + seen, keys - seen, uint8_t{0});
            }
        });
    });
}

}  // namespace fb::cpu
