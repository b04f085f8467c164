#include "cpu/pieces.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fb::cpu {

namespace {

constexpr int64_t part_bytes = 1 << 18;

// Some rows of a piece: all that lies along its last axis is a row.
struct Range {
    int piece;
    int64_t begin, end;
};

template <class T> void move_row(const T* from, int64_t a, T* to, int64_t b, int64_t n) {
    if (a == 1 && b == 1)
        std::memcpy(to, from, n * sizeof(T));
    else if (b == 1)
        for (int64_t i = 0; i < n; i++) to[i] = from[i * a];
    else
        for (int64_t i = 0; i < n; i++) to[i * b] = from[i * a];
}

template <class T> void fill_row(T fill, T* to, int64_t b, int64_t n) {
    if (b == 1)
        std::fill_n(to, n, fill);
    else
        for (int64_t i = 0; i < n; i++) to[i * b] = fill;
}

template <class T> void move_rows(const Piece& p, const T* from, T* to, T fill, int64_t begin, int64_t end) {
    int last = p.rank - 1, near = last - 1;  // neighbours along `near` are steps away, others are looked up
    int64_t n = p.shape[last], a = p.from_stride[last], b = p.to_stride[last];
    int64_t run = near < 0 ? 1 : p.shape[near];
    for (int64_t row = begin; row < end;) {
        int64_t rest = row / run, at = row % run, stop = std::min(end, row - at + run);
        int64_t x = p.from, y = p.to;
        for (int i = near - 1; i >= 0; i--) {
            x += rest % p.shape[i] * p.from_stride[i];
            y += rest % p.shape[i] * p.to_stride[i];
            rest /= p.shape[i];
        }
        int64_t x_step = near < 0 ? 0 : p.from_stride[near], y_step = near < 0 ? 0 : p.to_stride[near];
        for (; row < stop; row++, at++) {
            T* q = to + y + at * y_step;
            if (p.input < 0)
                fill_row(fill, q, b, n);
            else
                move_row(from + x + at * x_step, a, q, b, n);
        }
    }
}

template <class T> std::unique_ptr<Kernel> mover(const Signature& s, std::vector<Piece> pieces, T fill, bool cleared) {
    std::vector<std::vector<Range>> parts;
    int64_t left = 0, total = 0;
    for (size_t k = 0; k < pieces.size(); k++) {
        const Piece& p = pieces[k];
        int64_t row_bytes = p.shape[p.rank - 1] * sizeof(T), rows = p.size() / p.shape[p.rank - 1];
        total += p.size() * sizeof(T);
        for (int64_t begin = 0; begin < rows;) {
            if (left <= 0) {
                parts.emplace_back();
                left = part_bytes;
            }
            int64_t end = std::min(begin + std::max<int64_t>(left / row_bytes, 1), rows);
            parts.back().push_back({static_cast<int>(k), begin, end});
            left -= (end - begin) * row_bytes + 64;
            begin = end;
        }
    }
    int64_t size = cleared ? s.outputs[0].size() : 0, fill_step = part_bytes / sizeof(T);
    double cost = 20 + 10.0 * pieces.size() + 0.06 * (total + size * sizeof(T));
    return kernel(cost, [=, pieces = std::move(pieces), parts = std::move(parts)](
                            Work& work, const void* const* inputs, void* const* outputs) {
        auto filled = static_cast<T*>(outputs[0]);
        work.parallel((size + fill_step - 1) / fill_step, [&](int64_t i) {
            std::fill(filled + i * fill_step, filled + std::min((i + 1) * fill_step, size), fill);
        });
        work.parallel(static_cast<int64_t>(parts.size()), [&](int64_t i) {
            for (const Range& each : parts[i]) {
                const Piece& p = pieces[each.piece];
                auto from = p.input < 0 ? nullptr : static_cast<const T*>(inputs[p.input]);
                move_rows(p, from, static_cast<T*>(outputs[p.output]), fill, each.begin, each.end);
            }
        });
    });
}

}  // namespace

void Piece::add(int64_t n, int64_t from_step, int64_t to_step) {
    if (n == 1 && rank) return;
    if (rank && shape[rank - 1] == 1) rank--;
    if (rank && from_stride[rank - 1] == n * from_step && to_stride[rank - 1] == n * to_step) {
        rank--;
        n *= shape[rank];
    }
    shape[rank] = n;
    from_stride[rank] = from_step;
    to_stride[rank++] = to_step;
}

int64_t Piece::size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    return n;
}

Piece piece_of(const Spec& x, int input, int output, int64_t to, const int64_t* to_stride) {
    Piece p;
    p.input = input;
    p.output = output;
    p.to = to;
    p.add(1, 1, 1);
    for (int i = 0; i < x.rank; i++) p.add(x.shape[i], x.stride[i], to_stride[i]);
    return p;
}

namespace {

template <class T> bool whole_bits(const Attr& number, uint64_t& bits) {
    double real = number.kind == Attr::real ? number.r[0] : 0;
    if (!(std::abs(real) < 9e18)) return false;
    int64_t value = number.kind == Attr::real ? static_cast<int64_t>(real) : number.i[0];
    auto held = static_cast<T>(value);
    if (static_cast<int64_t>(held) != value || (std::is_unsigned_v<T> && value < 0)) return false;
    std::memcpy(&bits, &held, sizeof held);
    return true;
}

}  // namespace

bool bits_of(DType dtype, const Attr& number, uint64_t& bits) {
    bits = 0;
    if (number.kind != Attr::integer && number.kind != Attr::real) return false;
    double real = number.kind == Attr::real ? number.r[0] : static_cast<double>(number.i[0]);
    float narrow = static_cast<float>(real);
    switch (dtype) {
        case DType::f32: std::memcpy(&bits, &narrow, 4); return true;
        case DType::f64: std::memcpy(&bits, &real, 8); return true;
        case DType::b1: bits = real != 0; return true;
        case DType::i8: return whole_bits<int8_t>(number, bits);
        case DType::i16: return whole_bits<int16_t>(number, bits);
        case DType::i32: return whole_bits<int32_t>(number, bits);
        case DType::i64: return whole_bits<int64_t>(number, bits);
        case DType::u8: return whole_bits<uint8_t>(number, bits);
        case DType::u16: return whole_bits<uint16_t>(number, bits);
        case DType::u32: return whole_bits<uint32_t>(number, bits);
        case DType::u64: return whole_bits<uint64_t>(number, bits);
    }
    return false;
}

void fill_around(const Spec& output, const int64_t* begin, const int64_t* end, std::vector<Piece>& pieces) {
    // For each axis the slabs before and after the box: all of the later axes, the box's part of the earlier ones.
    for (int axis = 0; axis < output.rank; axis++)
        for (auto [low, high] : {std::pair(int64_t{0}, begin[axis]), std::pair(end[axis], output.shape[axis])}) {
            Piece p;
            p.add(1, 0, 1);
            for (int i = 0; i < output.rank; i++) {
                int64_t first = i < axis ? begin[i] : i == axis ? low : 0;
                int64_t last = i < axis ? end[i] : i == axis ? high : output.shape[i];
                p.to += first * output.stride[i];
                p.add(last - first, 0, output.stride[i]);
            }
            pieces.push_back(p);
        }
}

std::unique_ptr<Kernel> move_pieces(const Signature& s, std::vector<Piece> pieces, uint64_t fill, bool cleared) {
    pieces.erase(std::remove_if(pieces.begin(), pieces.end(), [](const Piece& p) { return p.size() == 0; }),
                 pieces.end());
    switch (size_of(s.outputs[0].dtype)) {
        case 1: return mover<uint8_t>(s, std::move(pieces), static_cast<uint8_t>(fill), cleared);
        case 2: return mover<uint16_t>(s, std::move(pieces), static_cast<uint16_t>(fill), cleared);
        case 4: return mover<uint32_t>(s, std::move(pieces), static_cast<uint32_t>(fill), cleared);
        default: return mover<uint64_t>(s, std::move(pieces), fill, cleared);
    }
}

}  // namespace fb::cpu
