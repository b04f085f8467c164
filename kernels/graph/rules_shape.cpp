// Rules of flowbook/ops/broadcasting.py, layout.py and indexing.py.
#include "graph/rules.h"

#include <algorithm>

namespace fb::graph {

namespace {

using Types = std::vector<Type>;

// ------------------------------------------------------------------------------------------------ broadcasting

// `shape`, when x broadcasts to it.
Shape reach(const Shape& x, const Shape& shape) {
    Shape both = x;
    if (!broadcast(both, shape) || !unify(both, shape))
        bad_graph("shape " + text_of(x) + " does not broadcast to " + text_of(shape));
    return both;
}

Shape known_shape(const Call& c, const char* name) {
    Shape shape = c.attrs.integers(name);
    for (Dim dim : shape)
        if (dim < 0) bad_graph("a size of " + text_of(shape) + " is negative");
    return shape;
}

Types broadcast_to(const Call& c) {
    const Type& x = c.tensor(0);
    Shape shape = known_shape(c, "shape");
    return {{x.dtype, x.ranked ? reach(x.shape, shape) : shape, true}};
}

Types broadcast_like(const Call& c) {
    const Type &x = c.tensor(0), &like = c.tensor(1);
    if (!x.ranked || !like.ranked) return {{x.dtype, like.shape, like.ranked}};
    return {{x.dtype, reach(x.shape, like.shape), true}};
}

Types unbroadcast(const Call& c) {
    const Type& dy = c.tensor(0);
    Type like = c.type(1);
    if (dy.ranked && like.ranked) reach(like.shape, dy.shape);
    return {{dy.dtype, like.shape, like.ranked}};
}

// ------------------------------------------------------------------------------------------------ layout

int64_t product(const Shape& shape) {
    int64_t all = 1;
    for (Dim dim : shape)
        if (dim >= 0 && __builtin_mul_overflow(all, dim, &all)) bad_graph("a shape has too many elements");
    return all;
}

Types reshape(const Call& c) {
    const Type& x = c.tensor(0);
    Shape wanted = c.attrs.integers("shape");
    auto rest = std::count(wanted.begin(), wanted.end(), -1);
    for (Dim dim : wanted)
        if (dim < -1) bad_graph(text_of(wanted) + " is not a shape to reshape to");
    if (rest > 1) bad_graph("a shape to reshape to has more than one -1");
    int64_t have = product(x.dims()), want = product(wanted);
    Shape symbols;
    for (Dim dim : x.shape)
        if (dim < 0) symbols.push_back(dim);
    bool fits = rest ? want && have % want == 0 : have == want;
    if (!symbols.empty() && have) fits = rest || want % have == 0;
    if (!fits) bad_graph(text_of(x.shape) + " cannot take the shape " + text_of(wanted));
    Dim left = open;
    if (symbols.empty() || have == 0) left = want ? have / want : open;
    else if (symbols.size() == 1 && have == want) left = symbols[0];
    std::replace(wanted.begin(), wanted.end(), Dim{-1}, left);
    return {{x.dtype, wanted, true}};
}

Types reshape_like(const Call& c) {
    const Type &x = c.tensor(0), &like = c.tensor(1);
    if (x.known() && like.known() && product(x.shape) != product(like.shape))
        bad_graph(text_of(x.shape) + " cannot take the shape " + text_of(like.shape));
    return {{x.dtype, like.shape, like.ranked}};
}

Types transpose(const Call& c) {
    const Type& x = c.tensor(0);
    int rank = x.rank();
    Shape shape;
    if (c.none("axes")) return {{x.dtype, Shape(x.shape.rbegin(), x.shape.rend()), true}};
    std::vector<int64_t> axes = c.attrs.integers("axes");
    if (axes.size() != static_cast<size_t>(rank)) bad_graph("axes are no order of the axes");
    c.axes("axes", rank);  // each once
    for (int64_t axis : axes) shape.push_back(x.shape[normal_axis(axis, rank)]);
    return {{x.dtype, shape, true}};
}

Types matrix_transpose(const Call& c) {
    Type x = c.tensor(0);
    if (x.rank() < 2) bad_graph(text_of(x.shape) + " holds no matrices to transpose");
    std::swap(x.shape[x.shape.size() - 1], x.shape[x.shape.size() - 2]);
    return {x};
}

Types flip(const Call& c) {
    c.axes("axis", c.tensor(0).rank());
    return {c.tensor(0)};
}

Types squeeze(const Call& c) {
    const Type& x = c.tensor(0);
    std::vector<int> gone;
    for (int i = 0; i < x.rank(); i++) {
        if (c.none("axis") && x.shape[i] < 0) bad_graph("which sizes of " + text_of(x.shape) + " are 1 is not known");
        if (c.none("axis") && x.shape[i] == 1) gone.push_back(i);
    }
    if (!c.none("axis")) gone = c.axes("axis", x.rank());
    Shape shape;
    for (int i = 0; i < x.rank(); i++) {
        bool goes = std::binary_search(gone.begin(), gone.end(), i);
        if (goes && x.shape[i] >= 0 && x.shape[i] != 1)
            bad_graph("axis " + std::to_string(i) + " of " + text_of(x.shape) + " does not have size 1");
        if (!goes) shape.push_back(x.shape[i]);
    }
    return {{x.dtype, shape, true}};
}

Types expand_dims(const Call& c) {
    const Type& x = c.tensor(0);
    int rank = x.rank() + static_cast<int>(std::min<size_t>(c.attrs.integers("axis").size(), 64));
    if (c.none("axis")) bad_graph("axis is missing");
    std::vector<int> added = c.axes("axis", rank);
    Shape shape;
    for (int i = 0, from = 0; i < rank; i++)
        shape.push_back(std::binary_search(added.begin(), added.end(), i) ? 1 : x.shape[from++]);
    return {{x.dtype, shape, true}};
}

Types pad(const Call& c) {
    Type x = c.tensor(0);
    if (c.attrs.text("mode") != "constant")
        bad_graph("pad mode " + c.attrs.text("mode").substr(0, 40) + " is not known");
    double value = c.attrs.real("constant_values");
    if (!is_float(x.dtype) && value != static_cast<double>(static_cast<int64_t>(std::clamp(value, -9e18, 9e18))))
        bad_graph("the constant does not fit a tensor of " + std::string(name_of(x.dtype)));
    const Attr* width = c.attrs.find("pad_width");
    if (!width) bad_graph("pad_width is missing");
    auto widths = pad_widths(*width, x.rank());
    for (size_t i = 0; i < widths.size(); i++) {
        auto [before, after] = widths[i];
        if (x.shape[i] >= 0) x.shape[i] += before + after;
        else if (before || after) x.shape[i] = open;
    }
    return {x};
}

Types getitem(const Call& c) {
    const Attr* index = c.attrs.find("index");
    if (!index) bad_graph("index is missing");
    return {{c.tensor(0).dtype, read_index(*index, c.tensor(0).dims()).shape, true}};
}

Types place(const Call& c) {
    const Type &dy = c.tensor(0), &like = c.tensor(1);
    const Attr* index = c.attrs.find("index");
    if (!index) bad_graph("index is missing");
    if (dy.ranked && like.ranked) {
        Shape taken = read_index(*index, like.shape).shape;
        if (!unify(taken, dy.shape))
            bad_graph("what is placed has shape " + text_of(dy.shape) + ", not " + text_of(taken));
    }
    return {{dy.dtype, like.shape, like.ranked}};
}

}  // namespace

const OpRule shape_rules[] = {
    {"broadcast_to", 1, 1, R"({"shape": "!"})", broadcast_to},
    {"broadcast_like", 2, 2, "{}", broadcast_like},
    {"unbroadcast", 2, 2, "{}", unbroadcast},
    {"reshape", 1, 1, R"({"shape": "!"})", reshape},
    {"reshape_like", 2, 2, "{}", reshape_like},
    {"transpose", 1, 1, R"({"axes": null})", transpose},
    {"matrix_transpose", 1, 1, "{}", matrix_transpose},
    {"flip", 1, 1, R"({"axis": null})", flip},
    {"squeeze", 1, 1, R"({"axis": null})", squeeze},
    {"expand_dims", 1, 1, R"({"axis": "!"})", expand_dims},
    {"pad", 1, 1, R"({"pad_width": "!", "mode": "constant", "constant_values": 0.0})", pad},
    {"getitem", 1, 1, R"({"index": "!"})", getitem},
    {"place", 2, 2, R"({"index": "!"})", place},
    {},
};

}  // namespace fb::graph
