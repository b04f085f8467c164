// Attributes that say which part of an array is meant: basic indices, widths of pad, positions of split.
#include "graph/rules.h"

#include <algorithm>

namespace fb::graph {

namespace {

std::vector<Attr> parts_of(const Attr& index) {
    if (index.kind == Attr::list) return index.items;
    if (index.kind != Attr::integers) bad_graph("an index is a tuple of ints, slices, null and \"...\"");
    std::vector<Attr> parts;
    for (int64_t each : index.i) {
        Attr part;
        part.kind = Attr::integer;
        part.i = {each};
        parts.push_back(std::move(part));
    }
    return parts;
}

// A bound of a slice, as Python's slice.indices reads it.
int64_t bound(const Attr& part, int64_t missing, int64_t size, int64_t low, int64_t high) {
    if (part.kind == Attr::none) return missing;
    if (part.kind != Attr::integer) bad_graph("a slice holds ints and null");
    int64_t at = part.i[0];
    if (at < 0) at = at < -size ? -1 : at + size;  // without overflow
    return std::clamp(at, low, high);
}

}  // namespace

Taken read_index(const Attr& index, const Shape& shape) {
    std::vector<Attr> parts = parts_of(index);
    if (parts.size() > 64) bad_graph("an index has too many parts");
    int rank = static_cast<int>(shape.size()), used = 0, dots = 0;
    for (const Attr& part : parts) {
        bool text = part.kind == Attr::text;
        if (text && part.s != "...") bad_graph("an index holds a text");
        dots += text;
        used += !text && part.kind != Attr::none;
    }
    if (dots > 1) bad_graph("an index holds one ellipsis at most");
    if (used > rank) bad_graph(std::to_string(used) + " indices for a tensor of shape " + text_of(shape));
    Attr rest;
    rest.kind = Attr::text;
    if (!dots) parts.push_back(rest);
    Taken t;
    auto take = [&](int64_t first, int64_t step, Dim count) {
        t.first.push_back(first);
        t.step.push_back(step);
        t.count.push_back(count);
    };
    auto keep = [&](Dim count, int axis) {
        t.shape.push_back(count);
        t.axis.push_back(axis);
    };
    for (const Attr& part : parts) {
        int axis = static_cast<int>(t.first.size());
        if (part.kind == Attr::none) {
            keep(1, -1);
        } else if (part.kind == Attr::text) {
            for (int k = used; k < rank; k++, axis++) {
                take(0, 1, shape[axis]);
                keep(shape[axis], axis);
            }
        } else if (part.kind == Attr::integer) {
            Dim size = shape[axis];
            int64_t at = part.i[0];
            if (size >= 0 && (at < -size || at >= size))
                bad_graph("index " + std::to_string(at) + " is out of range for axis " + std::to_string(axis) +
                          " of shape " + text_of(shape));
            take(at < 0 && size >= 0 ? at + size : at, 1, 1);
        } else {
            std::vector<Attr> bounds = parts_of(part);
            if (bounds.size() != 3) bad_graph("a slice is (start, stop, step)");
            for (const Attr& each : bounds)
                if (each.kind != Attr::none && each.kind != Attr::integer) bad_graph("a slice holds ints and null");
            int64_t step = bounds[2].kind == Attr::none ? 1 : bounds[2].i[0];
            if (step == 0) bad_graph("the step of a slice cannot be 0");
            Dim size = shape[axis];
            if (size < 0) {
                const Attr& start = bounds[0];
                bool all = start.kind == Attr::none || start.i[0] == 0;
                bool whole = bounds[1].kind == Attr::none && ((all && step == 1) ||
                                                              (start.kind == Attr::none && step == -1));
                take(0, step, whole ? size : open);
                keep(whole ? size : open, axis);
                continue;
            }
            int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
            int64_t first = bound(bounds[0], step > 0 ? low : high, size, low, high);
            int64_t stop = bound(bounds[1], step > 0 ? high : low, size, low, high);
            int64_t way = step > 0 ? stop - first : first - stop;
            uint64_t pace = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
            int64_t count = way > 0 ? static_cast<int64_t>(static_cast<uint64_t>(way - 1) / pace) + 1 : 0;
            take(first, count > 1 ? step : 1, count);
            keep(count, axis);
        }
    }
    return t;
}

std::vector<std::pair<int64_t, int64_t>> pad_widths(const Attr& width, int rank) {
    std::vector<std::pair<int64_t, int64_t>> found;
    auto pair = [](const Attr& a) -> std::pair<int64_t, int64_t> {
        if (a.kind == Attr::integer) return {a.i[0], a.i[0]};
        if (a.kind != Attr::integers || a.i.size() != 2)
            bad_graph("pad_width is n, (before, after), or such a pair for each axis");
        return {a.i[0], a.i[1]};
    };
    if (width.kind == Attr::list || (width.kind == Attr::integers && width.i.empty())) {
        for (const Attr& each : width.items) {
            if (each.kind == Attr::integer) bad_graph("pad_width is n, (before, after), or such a pair for each axis");
            found.push_back(pair(each));
        }
        if (found.size() == 1) found.resize(rank, found[0]);
    } else {
        found.assign(rank, pair(width));
    }
    if (found.size() != static_cast<size_t>(rank)) bad_graph("pad_width does not fit the rank " + std::to_string(rank));
    for (auto& each : found)
        if (each.first < 0 || each.second < 0 || each.first > most_elements || each.second > most_elements)
            bad_graph("a width of pad is negative, or too large");
    return found;
}

std::vector<int64_t> split_edges(const Attr& cuts, int64_t size) {
    std::vector<int64_t> edges = {0};
    if (cuts.kind == Attr::integer) {
        int64_t count = cuts.i[0];
        if (count < 1 || count > most_outputs || size % count)
            bad_graph("size " + std::to_string(size) + " does not split into " + std::to_string(count) +
                      " equal parts");
        for (int64_t k = 1; k <= count; k++) edges.push_back(size / count * k);
        return edges;
    }
    if (cuts.kind != Attr::integers || cuts.i.size() >= static_cast<size_t>(most_outputs))
        bad_graph("indices_or_sections is a number of parts, or a tuple of positions");
    for (int64_t each : cuts.i) {
        int64_t at = std::clamp<int64_t>(each < 0 ? (each < -size ? 0 : each + size) : each, 0, size);
        if (at < edges.back()) bad_graph("the positions of split do not ascend");
        edges.push_back(at);
    }
    edges.push_back(size);
    return edges;
}

}  // namespace fb::graph
