// Rules of flowbook/ops/gather.py, joining.py and linalg.py.
#include "graph/rules.h"

#include <algorithm>

namespace fb::graph {

namespace {

using Types = std::vector<Type>;

// ------------------------------------------------------------------------------------------------ by number

void need_integers(const Call& c, size_t k) {
    char kind = kind_of(c.type(k).dtype);
    if (kind != 'i' && kind != 'u') bad_graph("the index has to hold integers");
}

Shape gathered(const Type& x, const Type& indices, int64_t axis) {
    if (x.ranked && x.shape.empty()) bad_graph("a 0-d tensor has no entries to pick from");
    int at = normal_axis(axis, x.rank());
    Shape shape(x.shape.begin(), x.shape.begin() + at);
    shape.insert(shape.end(), indices.dims().begin(), indices.dims().end());
    shape.insert(shape.end(), x.shape.begin() + at + 1, x.shape.end());
    return shape;
}

Types gather(const Call& c) {
    need_integers(c, 1);
    return {{c.tensor(0).dtype, gathered(c.tensor(0), c.type(1), c.attrs.integer("axis", 0)), true}};
}

Types scatter_add(const Call& c) {
    need_integers(c, 1);
    const Type &dy = c.tensor(0), &like = c.tensor(2);
    if (dy.ranked && like.ranked && c.type(1).ranked) {
        Shape parts = gathered(like, c.type(1), c.attrs.integer("axis"));
        if (!unify(parts, dy.shape))
            bad_graph("what is added has shape " + text_of(dy.shape) + ", not " + text_of(parts));
    }
    return {{dy.dtype, like.shape, like.ranked}};
}

Types one_hot(const Call& c) {
    need_integers(c, 0);
    const Type& indices = c.tensor(0);
    int64_t depth = c.attrs.integer("depth");
    if (depth < 0) bad_graph("depth is not a number of classes");
    Type found;
    if (!dtype_named(c.attrs.text("dtype"), found.dtype)) unsupported("the dtype of one_hot is not known here");
    found.shape = indices.dims();
    int axis = normal_axis(c.attrs.integer("axis"), indices.rank() + 1);
    found.shape.insert(found.shape.begin() + axis, depth);
    return {found};
}

// ------------------------------------------------------------------------------------------------ joining

Types concat(const Call& c) {
    if (!c.count()) bad_graph("at least one tensor is needed");
    Shape all = c.type(0).dims();
    if (all.empty()) bad_graph("0-d tensors cannot be joined along an axis; stack makes a new axis");
    int axis = normal_axis(c.attrs.integer("axis"), static_cast<int>(all.size()));
    Dim total = 0;
    for (size_t k = 0; k < c.count(); k++) {
        Type type = c.type(k);
        Shape each = type.dims();
        if (each.size() != all.size()) bad_graph("ranks differ: " + text_of(all) + " and " + text_of(each));
        Dim along = each[axis];
        if (c.count() == 1) total = along;
        else if (along < 0 || total < 0) total = open;
        else if (__builtin_add_overflow(total, along, &total)) bad_graph("the result of concat is too large");
        each[axis] = all[axis];
        if (!unify(all, each))
            bad_graph("concat needs equal sizes beside its axis: " + text_of(all) + " and " + text_of(type.shape));
    }
    all[axis] = total;
    return {{promote(c.inputs), all, true}};
}

Types stack(const Call& c) {
    if (!c.count()) bad_graph("at least one tensor is needed");
    Shape all = c.type(0).dims();
    for (size_t k = 1; k < c.count(); k++)
        if (Type each = c.type(k); !unify(all, each.dims()))
            bad_graph("stack needs equal shapes: " + text_of(all) + " and " + text_of(each.shape));
    int axis = normal_axis(c.attrs.integer("axis"), static_cast<int>(all.size()) + 1);
    all.insert(all.begin() + axis, static_cast<Dim>(c.count()));
    return {{promote(c.inputs), all, true}};
}

Types parts_of(const Type& x, int axis, const Shape& sizes) {
    Types found;
    for (Dim size : sizes) {
        Type each = x;
        each.shape[axis] = size;
        found.push_back(std::move(each));
    }
    return found;
}

Types split(const Call& c) {
    const Type& x = c.tensor(0);
    int axis = normal_axis(c.attrs.integer("axis"), x.rank());
    Dim size = x.shape[axis];
    const Attr* cuts = c.attrs.find("indices_or_sections");
    if (!cuts) bad_graph("indices_or_sections is missing");
    Shape sizes;
    if (size >= 0) {
        std::vector<int64_t> edges = split_edges(*cuts, size);
        for (size_t k = 0; k + 1 < edges.size(); k++) sizes.push_back(edges[k + 1] - edges[k]);
    } else {
        size_t count = split_edges(*cuts, 0).size() - 1;
        sizes.assign(count, count == 1 ? size : open);
    }
    return parts_of(x, axis, sizes);
}

Types split_like(const Call& c) {
    const Type& x = c.tensor(0);
    int axis = normal_axis(c.attrs.integer("axis"), x.rank());
    Shape sizes;
    Dim total = 0;
    for (size_t k = 1; k < c.count(); k++) {
        const Type& like = c.tensor(k);
        sizes.push_back(like.dims()[normal_axis(c.attrs.integer("axis"), like.rank())]);
        if (total < 0 || sizes.back() < 0) total = open;
        else if (__builtin_add_overflow(total, sizes.back(), &total)) total = open;
    }
    if (total >= 0 && x.shape[axis] >= 0 && total != x.shape[axis]) bad_graph("the parts do not add up to the whole");
    return parts_of(x, axis, sizes);
}

Types unstack(const Call& c) {
    const Type& x = c.tensor(0);
    int axis = normal_axis(c.attrs.integer("axis"), x.rank());
    Dim count = x.shape[axis];
    if (count < 1 || count > most_outputs)
        bad_graph("axis " + std::to_string(axis) + " of " + text_of(x.shape) +
                  " says not into how many tensors to take it apart");
    Type part = x;
    part.shape.erase(part.shape.begin() + axis);
    return Types(count, part);
}

// ------------------------------------------------------------------------------------------------ products

Types matmul(const Call& c) {
    const Type &x = c.tensor(0), &y = c.tensor(1);
    const Shape &a = x.dims(), &b = y.dims();
    if (a.empty() || b.empty()) bad_graph("matmul needs tensors with at least one axis, not numbers");
    Dim inner = a.back();
    if (!unify(inner, b[b.size() > 1 ? b.size() - 2 : 0]))
        bad_graph("matmul of " + text_of(a) + " and " + text_of(b) + ": inner dimensions differ");
    Shape shape(a.begin(), a.end() - std::min<size_t>(a.size(), 2));
    if (b.size() > 2 && !broadcast(shape, Shape(b.begin(), b.end() - 2)))
        bad_graph("matmul of " + text_of(a) + " and " + text_of(b) + ": the axes before the matrices do not broadcast");
    if (a.size() > 1) shape.push_back(a[a.size() - 2]);
    if (b.size() > 1) shape.push_back(b.back());
    DType dtype = promote(c.inputs);
    need_number(dtype);
    return {{dtype, shape, true}};
}

}  // namespace

const OpRule joining_rules[] = {
    {"gather", 2, 2, R"({"axis": 0})", gather},
    {"embedding_lookup", 2, 2, "{}", gather},
    {"scatter_add", 3, 3, R"({"axis": 0})", scatter_add},
    {"one_hot", 1, 1, R"({"depth": "!", "dtype": "float32", "axis": -1})", one_hot},
    {"concat", 1, -1, R"({"axis": 0})", concat},
    {"stack", 1, -1, R"({"axis": 0})", stack},
    {"split", 1, 1, R"({"indices_or_sections": "!", "axis": 0})", split},
    {"split_like", 1, -1, R"({"axis": "!"})", split_like},
    {"unstack", 1, 1, R"({"axis": 0})", unstack},
    {"matmul", 2, 2, "{}", matmul},
    {},
};

}  // namespace fb::graph
