// Rules of flowbook/ops/attention.py.
#include "graph/rules.h"

namespace fb::graph {

namespace {

using Types = std::vector<Type>;

Types causal_mask(const Call& c) {
    const Shape& scores = c.tensor(0).dims();
    if (scores.size() < 2) bad_graph("scores are (..., queries, keys)");
    return {{DType::b1, Shape(scores.end() - 2, scores.end()), true}};
}

struct Sizes {
    Shape lead;
    Dim queries, depth, keys, width;
    DType dtype;

    Type type(std::initializer_list<Dim> last) const {
        Shape shape = lead;
        shape.insert(shape.end(), last);
        return {dtype, shape, true};
    }
};

// Of query, key, value and perhaps a mask, from input `first` on.
Sizes sizes(const Call& c, size_t first) {
    Sizes s{{}, open, open, open, open, DType::f32};
    std::vector<Operand> floats;
    for (size_t k = first; k < first + 3; k++) {
        const Shape& shape = c.tensor(k).dims();
        if (shape.size() < 2) bad_graph("query, key and value of attention need two axes or more");
        floats.emplace_back(Type{float_of(c.tensor(k).dtype), {}, true});
        if (!broadcast(s.lead, Shape(shape.begin(), shape.end() - 2)))
            bad_graph("the axes before the last two of query, key and value do not broadcast");
    }
    const Shape &q = c.tensor(first).shape, &k = c.tensor(first + 1).shape, &v = c.tensor(first + 2).shape;
    s.queries = q[q.size() - 2], s.depth = q.back(), s.keys = k[k.size() - 2], s.width = v.back();
    s.dtype = promote(floats);
    if (!unify(s.depth, k.back()))
        bad_graph("query " + text_of(q) + " and key " + text_of(k) + " differ in their last size");
    if (!unify(s.keys, v[v.size() - 2]))
        bad_graph("key " + text_of(k) + " and value " + text_of(v) + " differ in the last size but one");
    if (c.count() > first + 3 && c.input(first + 3).kind != Operand::none) {
        Type mask = c.type(first + 3);
        if (mask.dtype != DType::b1) bad_graph("the mask of attention has to be bool");
        const Shape& m = mask.dims();
        const auto head = m.end() - std::min<int64_t>(2, static_cast<int64_t>(m.size()));
        Shape last(head, m.end()), pairs = {s.queries, s.keys};
        if (!broadcast(last, pairs) || !unify(pairs, last) || !broadcast(s.lead, Shape(m.begin(), head)))
            bad_graph("mask " + text_of(m) + " does not broadcast to (..., queries, keys)");
    }
    c.flag("causal");
    return s;
}

Types attention(const Call& c) {
    Sizes s = sizes(c, 0);
    return {s.type({s.queries, s.width}), s.type({s.queries})};
}

Types attention_grad(const Call& c) {
    Sizes s = sizes(c, 4);
    for (size_t k : {0, 1, 2, 3}) {
        Type wanted = k % 2 ? s.type({s.queries}) : s.type({s.queries, s.width});
        if (!unify(wanted, c.tensor(k)))
            bad_graph(text_of(c.tensor(k)) + " is neither a result of this attention nor its gradient");
    }
    return {s.type({s.queries, s.depth}), s.type({s.keys, s.depth}), s.type({s.keys, s.width})};
}

}  // namespace

const OpRule attention_rules[] = {
    {"causal_mask", 1, 1, "{}", causal_mask},
    {"scaled_dot_product_attention", 3, 4, R"({"causal": false})", attention},
    {"scaled_dot_product_attention_grad", 7, 8, R"({"causal": false})", attention_grad},
    {},
};

}  // namespace fb::graph
