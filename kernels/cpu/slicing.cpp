// An array in a larger one: place and pad.
#include "cpu/pieces.h"
#include "cpu/table.h"

#include <algorithm>

namespace fb::cpu {

namespace {

// What a basic index takes of an array: a start and a step for each of its axes, and the axes that are left.
struct Taken {
    int rank = 0;  // of what is taken
    int64_t first[max_rank], step[max_rank], count[max_rank];  // of the array
    int64_t shape[max_rank], axis[max_rank];                   // of what is taken; the axis -1 is a new one
};

int64_t bound(const Attr& part, int64_t missing, int64_t size, int64_t low, int64_t high) {
    if (part.kind == Attr::none) return missing;
    int64_t at = part.i.at(0);
    return std::clamp(at < 0 ? at + size : at, low, high);
}

// A slice as Python reads it (`slice.indices`).
bool read_slice(const std::vector<Attr>& parts, int64_t size, int64_t& first, int64_t& step, int64_t& count) {
    if (parts.size() != 3) return false;
    step = parts[2].kind == Attr::none ? 1 : parts[2].i.at(0);
    if (step == 0) return false;
    bool up = step > 0;
    int64_t low = up ? 0 : -1, high = up ? size : size - 1;
    first = bound(parts[0], up ? low : high, size, low, high);
    int64_t stop = bound(parts[1], up ? high : low, size, low, high);
    int64_t way = up ? stop - first : first - stop, pace = up ? step : -step;
    count = way > 0 ? (way - 1) / pace + 1 : 0;
    return true;
}

// The parts of an index: ints, None, "...", and slices as tuples. False for what is not known here.
std::vector<Attr> parts_of(const Attr& index) {
    if (index.kind == Attr::list) return index.items;
    std::vector<Attr> parts;
    for (int64_t each : index.i) {
        Attr a;
        a.kind = Attr::integer;
        a.i = {each};
        parts.push_back(a);
    }
    return parts;
}

bool read_index(const Attrs& attrs, const Spec& x, Taken& t) {
    const Attr* index = attrs.find("index");
    if (!index || (index->kind != Attr::list && index->kind != Attr::integers)) return false;
    std::vector<Attr> parts = parts_of(*index);
    int used = 0, axis = 0;
    bool ellipsis = false;
    for (const Attr& part : parts) {
        if (part.kind == Attr::text) ellipsis = true;
        else if (part.kind != Attr::none) used++;
    }
    if (used > x.rank) return false;
    if (!ellipsis) {
        Attr rest;
        rest.kind = Attr::text;
        parts.push_back(rest);
    }
    auto keep = [&](int64_t n, int from) {
        if (t.rank == max_rank) return false;
        t.shape[t.rank] = n;
        t.axis[t.rank++] = from;
        return true;
    };
    for (const Attr& part : parts) {
        if (part.kind == Attr::none) {
            if (!keep(1, -1)) return false;
        } else if (part.kind == Attr::text) {
            for (int rest = x.rank - used; rest > 0; rest--, axis++) {
                t.first[axis] = 0;
                t.step[axis] = 1;
                t.count[axis] = x.shape[axis];
                if (!keep(x.shape[axis], axis)) return false;
            }
        } else if (part.kind == Attr::integer) {
            int64_t at = part.i[0] < 0 ? part.i[0] + x.shape[axis] : part.i[0];
            if (at < 0 || at >= x.shape[axis]) return false;
            t.first[axis] = at;
            t.step[axis] = t.count[axis] = 1;
            axis++;
        } else {
            std::vector<Attr> bounds = parts_of(part);
            if (!read_slice(bounds, x.shape[axis], t.first[axis], t.step[axis], t.count[axis])) return false;
            if (!keep(t.count[axis], axis)) return false;
            axis++;
        }
    }
    return true;
}

// What is taken of x, as a spec with strides of its own, and where it begins.
Spec view_of(const Spec& x, const Taken& t, int64_t& start) {
    Spec v;
    v.dtype = x.dtype;
    v.rank = t.rank;
    start = 0;
    for (int i = 0; i < t.rank; i++) {
        int64_t axis = t.axis[i];
        v.shape[i] = t.shape[i];
        v.stride[i] = axis < 0 ? 0 : x.stride[axis] * t.step[axis];
    }
    for (int i = 0; i < x.rank; i++) start += t.first[i] * x.stride[i];
    return v;
}

// (before, after) for each axis, from n, (before, after), or a tuple of such pairs. Empty when it is none of them.
std::vector<int64_t> widths_of(const Attr& width, int rank) {
    std::vector<int64_t> flat = width.i;
    for (const Attr& pair : width.items) {
        if (pair.i.size() != 2) return {};
        flat.insert(flat.end(), pair.i.begin(), pair.i.end());
    }
    if (flat.size() == 1) flat.push_back(flat[0]);
    if (flat.size() == 2)
        for (int i = 1; i < rank; i++) flat.insert(flat.end(), {flat[0], flat[1]});
    if (flat.size() != static_cast<size_t>(2 * rank) && rank > 0) return {};
    return flat;
}

}  // namespace

std::unique_ptr<Kernel> make_place(const Signature& s) {
    const Spec &dy = s.inputs[0], &whole = s.outputs[0];
    Taken t;
    int64_t start;
    if (dy.dtype != whole.dtype || !read_index(s.attrs, whole, t)) return nullptr;
    Spec view = view_of(whole, t, start);
    if (!view.same_shape(dy)) return nullptr;
    std::vector<Piece> pieces = {piece_of(dy, 0, 0, start, view.stride)};
    bool dense = dy.size() > 0;
    int64_t begin[max_rank], end[max_rank];
    for (int i = 0; i < whole.rank; i++) {
        dense = dense && (t.count[i] == 1 || t.step[i] == 1 || t.step[i] == -1);
        begin[i] = t.step[i] < 0 ? t.first[i] - (t.count[i] - 1) : t.first[i];
        end[i] = begin[i] + t.count[i];
    }
    if (dense) fill_around(whole, begin, end, pieces);
    return move_pieces(s, std::move(pieces), 0, !dense);
}

std::unique_ptr<Kernel> make_pad(const Signature& s) {
    const Spec &x = s.inputs[0], &whole = s.outputs[0];
    const Attr *width = s.attrs.find("pad_width"), *value = s.attrs.find("constant_values");
    uint64_t fill;
    if (!width || !value || !bits_of(x.dtype, *value, fill)) return nullptr;
    std::vector<int64_t> widths = widths_of(*width, x.rank);
    if (widths.size() < static_cast<size_t>(2 * x.rank)) return nullptr;
    int64_t begin[max_rank], end[max_rank], start = 0;
    for (int i = 0; i < x.rank; i++) {
        begin[i] = widths[2 * i];
        end[i] = begin[i] + x.shape[i];
        if (end[i] + widths[2 * i + 1] != whole.shape[i]) return nullptr;
        start += begin[i] * whole.stride[i];
    }
    std::vector<Piece> pieces = {piece_of(x, 0, 0, start, whole.stride)};
    fill_around(whole, begin, end, pieces);
    return move_pieces(s, std::move(pieces), fill, false);
}

}  // namespace fb::cpu
