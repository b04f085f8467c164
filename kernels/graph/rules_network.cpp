// Rules of flowbook/ops/conv.py, pool.py, nn.py, batch_norm.py, losses.py and recurrent.py.
#include "graph/rules.h"

#include <algorithm>
#include <cctype>

namespace fb::graph {

namespace {

using Types = std::vector<Type>;

// ------------------------------------------------------------------------------------------------ windows

std::pair<int64_t, int64_t> pair_of(const Call& c, const char* name, const char* otherwise = nullptr) {
    std::vector<int64_t> both = c.attrs.integers(otherwise && c.none(name) ? otherwise : name);
    const Attr* given = c.attrs.find(name);
    if (both.size() == 1 && (!given || given->kind == Attr::integer)) both.push_back(both[0]);
    if (both.size() != 2 || both[0] < 1 || both[1] < 1 || both[0] > most_elements || both[1] > most_elements)
        bad_graph(std::string(name) + " is neither a positive int nor two (height, width)");
    return {both[0], both[1]};
}

bool is_same(const Call& c) {
    std::string mode = c.attrs.text("padding");
    for (char& each : mode) each = static_cast<char>(std::tolower(static_cast<unsigned char>(each)));
    if (mode != "same" && mode != "valid") bad_graph("padding is neither 'same' nor 'valid'");
    return mode == "same";
}

constexpr int64_t longest = int64_t{1} << 31;

Dim slide(Dim length, Dim size, int64_t stride, int64_t dilation, bool same) {
    if (length < 0 || (size < 0 && !same)) return same && stride == 1 ? length : open;
    int64_t span = 0;
    // With its padding an image is at most as long as a window and the image together.
    bool odd = size < 1 || __builtin_mul_overflow(size - 1, dilation, &span) || span > longest || stride > longest;
    if (same && size >= 0 && odd) bad_graph("a window is empty, or too large");
    if (same) return length / stride + (length % stride != 0);
    if (odd || length < span + 1)
        bad_graph("a window does not fit into " + std::to_string(length) + "; padding 'same' may help");
    return (length - span - 1) / stride + 1;
}

Types conv2d(const Call& c) {
    const Type &x = c.tensor(0), &filters = c.tensor(1);
    if (filters.rank() != 4) bad_graph("filters are (height, width, input channels, output channels)");
    if (x.rank() != 4) bad_graph("images are (batch, height, width, channels)");
    auto [down, right] = pair_of(c, "strides");
    auto [tall, wide] = pair_of(c, "dilations");
    bool same = is_same(c);
    Dim channels = x.shape[3];
    if (!unify(channels, filters.shape[2]))
        bad_graph("x " + text_of(x.shape) + " and filters " + text_of(filters.shape) + " differ in their channels");
    DType dtype = promote(c.inputs);
    need_number(dtype);
    return {{dtype,
             {x.shape[0], slide(x.shape[1], filters.shape[0], down, tall, same),
              slide(x.shape[2], filters.shape[1], right, wide, same), filters.shape[3]},
             true}};
}

// The two gradients: what conv2d makes of their operands has to be the shape of the third.
Types conv2d_back(const Call& c, const Type& x, const Type& filters, const Type& y, const Type& like, DType dtype) {
    if (x.ranked && filters.ranked && y.ranked) {
        std::vector<Operand> both = {x, filters};
        Shape found = conv2d({both, c.attrs})[0].shape;
        if (!unify(found, y.shape))
            bad_graph("a gradient of shape " + text_of(y.shape) + " is not that of a convolution");
    }
    return {{dtype, like.shape, like.ranked}};
}

Types conv2d_grad_input(const Call& c) {
    return conv2d_back(c, c.tensor(2), c.tensor(1), c.tensor(0), c.tensor(2), promote({c.inputs[0], c.inputs[1]}));
}

Types conv2d_grad_filters(const Call& c) {
    return conv2d_back(c, c.tensor(0), c.tensor(2), c.tensor(1), c.tensor(2), promote({c.inputs[0], c.inputs[1]}));
}

Shape pooled(const Call& c, const Type& x) {
    if (x.rank() != 4) bad_graph("images are (batch, height, width, channels)");
    auto [height, width] = pair_of(c, "window");
    auto [down, right] = pair_of(c, "strides", "window");
    bool same = is_same(c);
    return {x.shape[0], slide(x.shape[1], height, down, 1, same), slide(x.shape[2], width, right, 1, same), x.shape[3]};
}

Types max_pool(const Call& c) {
    need_number(c.tensor(0).dtype);
    return {{c.tensor(0).dtype, pooled(c, c.tensor(0)), true}};
}

Types avg_pool(const Call& c) {
    need_kind(c, 0, "f", "the input of avg_pool");
    return max_pool(c);
}

Types pool_grad(const Call& c) {
    const Type &dy = c.tensor(0), &x = c.tensor(1);
    if (dy.ranked && x.ranked) {
        Shape shape = pooled(c, x);
        if (!unify(shape, dy.shape)) bad_graph("a gradient of shape " + text_of(dy.shape) + " is not that of a pool");
    }
    return {{dy.dtype, x.shape, x.ranked}};
}

Types max_pool_take(const Call& c) {
    const Type &g = c.tensor(0), &x = c.tensor(1);
    if (Type both = g; !unify(both, x)) bad_graph("max_pool_take needs two equal shapes");
    return {{g.dtype, pooled(c, x), true}};
}

// ------------------------------------------------------------------------------------------------ rows

Types softmax(const Call& c) {
    Type x = c.tensor(0);
    normal_axis(c.attrs.integer("axis"), x.rank());
    x.dtype = float_of(x.dtype);
    return {x};
}

Types layer_norm(const Call& c) {
    const Type& x = c.tensor(0);
    need_kind(c, 0, "f", "the input of layer_norm");
    c.axes("axis", x.rank());
    c.attrs.real("epsilon");
    Type all = broadcast_of(c);
    if (all.ranked && !unify(all.shape, x.shape))
        bad_graph("scale and offset do not broadcast to x " + text_of(x.shape));
    if (!all.ranked) all = {all.dtype, x.shape, true};
    return {all};
}

Types standardize(const Call& c) {
    Type x = c.tensor(0), factor = x;
    need_kind(c, 0, "f", "the input of standardize");
    c.attrs.real("epsilon");
    for (int axis : c.axes("axis", x.rank())) factor.shape[axis] = 1;
    return {x, factor};
}

// The shape of x (input x_at), from that of the inputs in `each`, which have a number for each channel; a bool may follow.
Shape normalised(const Call& c, size_t x_at, std::initializer_list<size_t> each) {
    const Type& x = c.tensor(x_at);
    need_kind(c, x_at, "f", "the input of batch_norm");
    c.attrs.real("epsilon");
    if (x.rank() < 2) bad_graph("batch_norm of shape " + text_of(x.shape) + "; x is (batch, ..., channels)");
    Shape found = {x.shape.back()};
    for (size_t k : each) {
        if (c.tensor(k).dtype != x.dtype) bad_graph("the operands of batch_norm have different dtypes");
        if (c.tensor(k).ranked && !unify(found, c.tensor(k).shape))
            bad_graph("a parameter of shape " + text_of(c.tensor(k).shape) + " does not fit the channels of x " +
                      text_of(x.shape));
    }
    for (size_t k = each.end()[-1] + 1; k < c.count(); k++)
        if (c.tensor(k).dtype != DType::b1 || (c.tensor(k).ranked && c.tensor(k).rank() != 0))
            bad_graph("training has to be a bool without axes");
    Shape shape = x.shape;
    shape.back() = found.back();
    return shape;
}

Types batch_norm(const Call& c) {
    Shape shape = normalised(c, 0, {1, 2, 3, 4});
    c.attrs.real("momentum");
    Type parameter = {c.tensor(0).dtype, {shape.back()}, true};
    return {{parameter.dtype, shape, true}, parameter, parameter};
}

Types batch_norm_grad(const Call& c) {
    Shape shape = normalised(c, 3, {1, 2, 4, 5, 6});
    Type parameter = {c.tensor(3).dtype, {shape.back()}, true};
    if (c.tensor(0).ranked && !unify(shape, c.tensor(0).shape))
        bad_graph("a gradient does not have the shape of x " + text_of(shape));
    return {{parameter.dtype, shape, true}, parameter, parameter, parameter, parameter};
}

// ------------------------------------------------------------------------------------------------ losses

Types softmax_cross_entropy(const Call& c) {
    need_kind(c, 0, "f", "labels of softmax_cross_entropy");
    need_kind(c, 1, "f", "logits of softmax_cross_entropy");
    Type all = c.type(0), logits = c.type(1);
    if (!unify(all, logits))
        bad_graph("labels " + text_of(all.shape) + " and logits " + text_of(logits.shape) + " have to be alike");
    if (all.dims().empty()) bad_graph("softmax_cross_entropy needs at least one axis, the classes");
    all.shape.pop_back();
    all.dtype = promote(c.inputs);
    return {all};
}

Types sparse_softmax_cross_entropy(const Call& c) {
    Type labels = c.type(0);
    const Type& logits = c.tensor(1);
    char kind = kind_of(labels.dtype);
    if (kind != 'i' && kind != 'u') bad_graph("labels of sparse_softmax_cross_entropy have to be integers");
    need_kind(c, 1, "f", "logits of sparse_softmax_cross_entropy");
    Type found = {logits.dtype, labels.shape, labels.ranked};
    if (!logits.ranked) return {found};
    if (logits.shape.empty()) bad_graph("sparse_softmax_cross_entropy needs at least one axis of logits, the classes");
    if (!unify(found, {logits.dtype, Shape(logits.shape.begin(), logits.shape.end() - 1), true}))
        bad_graph("labels " + text_of(labels.shape) + " do not fit logits " + text_of(logits.shape));
    return {found};
}

Types sparse_grad(const Call& c) {
    std::vector<Operand> rest(c.inputs.begin() + 1, c.inputs.end());
    Type loss = sparse_softmax_cross_entropy({rest, c.attrs})[0];
    if (!unify(loss, c.tensor(0))) bad_graph("the gradient does not have the shape of the loss");
    return {c.tensor(2)};
}

// ------------------------------------------------------------------------------------------------ recurrent cells

// The shape of the state, from (..., size) and gates (..., parts * size).
Shape state(const Call& c, int parts, size_t state_at, std::vector<size_t> gates) {
    const Type& s = c.tensor(state_at);
    if (s.ranked && s.shape.empty()) bad_graph("the state of a recurrent cell is a number");
    need_kind(c, state_at, "f", "the state");
    Shape found = s.dims();
    for (size_t k : gates) {
        const Type& gate = c.tensor(k);
        if (gate.ranked && gate.shape.empty()) bad_graph("the gates of a recurrent cell are a number");
        if (gate.dtype != s.dtype) bad_graph("gates and state of a recurrent cell have different dtypes");
        Shape each = gate.dims();
        if (each.back() >= 0 && each.back() % parts) each.back() = -1000000;
        Dim size = each.back() < 0 ? open : each.back() / parts;
        bool fits = each.back() != -1000000;
        each.back() = size;
        if (!fits || !unify(found, each))
            bad_graph("gates " + text_of(gate.shape) + " do not fit a state " + text_of(s.shape));
    }
    return found;
}

Types lstm_cell(const Call& c) {
    Type both = {c.tensor(1).dtype, state(c, 4, 1, {0}), true};
    return {both, both};
}

Types lstm_cell_grad(const Call& c) {
    Shape found = state(c, 4, 3, {2});
    for (size_t k : {0, 1})
        if (c.tensor(k).ranked && !unify(found, c.tensor(k).shape))
            bad_graph("a gradient does not have the shape of the state");
    Shape gates = found;
    gates.back() = c.tensor(2).shape.back();
    return {{c.tensor(2).dtype, gates, true}, {c.tensor(3).dtype, found, true}};
}

Types gru_cell(const Call& c) { return {{c.tensor(2).dtype, state(c, 3, 2, {0, 1}), true}}; }

Types gru_cell_grad(const Call& c) {
    Shape found = state(c, 3, 3, {1, 2});
    if (c.tensor(0).ranked && !unify(found, c.tensor(0).shape))
        bad_graph("a gradient does not have the shape of the state");
    Shape gates = found;
    gates.back() = c.tensor(1).shape.back();
    unify(gates.back(), c.tensor(2).shape.back());
    Type both = {c.tensor(3).dtype, gates, true};
    return {both, both, {both.dtype, found, true}};
}

}  // namespace

const OpRule network_rules[] = {
    {"conv2d", 2, 2, R"({"strides": 1, "padding": "same", "dilations": 1})", conv2d},
    {"conv2d_grad_input", 3, 3, R"({"strides": 1, "padding": "same", "dilations": 1})", conv2d_grad_input},
    {"conv2d_grad_filters", 3, 3, R"({"strides": 1, "padding": "same", "dilations": 1})", conv2d_grad_filters},
    {"max_pool", 1, 1, R"({"window": 2, "strides": null, "padding": "valid"})", max_pool},
    {"max_pool_grad", 2, 2, R"({"window": "!", "strides": null, "padding": "!"})", pool_grad},
    {"max_pool_take", 2, 2, R"({"window": "!", "strides": null, "padding": "!"})", max_pool_take},
    {"avg_pool", 1, 1, R"({"window": 2, "strides": null, "padding": "valid"})", avg_pool},
    {"avg_pool_grad", 2, 2, R"({"window": "!", "strides": null, "padding": "!"})", pool_grad},
    {"softmax", 1, 1, R"({"axis": -1})", softmax},
    {"log_softmax", 1, 1, R"({"axis": -1})", softmax},
    {"layer_norm", 3, 3, R"({"axis": -1, "epsilon": 1e-05})", layer_norm, true},
    {"batch_norm", 5, 6, R"({"momentum": 0.99, "epsilon": 0.001})", batch_norm},
    {"batch_norm_grad", 7, 8, R"({"epsilon": "!"})", batch_norm_grad},
    {"standardize", 1, 1, R"({"axis": "!", "epsilon": "!"})", standardize},
    {"softmax_cross_entropy", 2, 2, "{}", softmax_cross_entropy},
    {"sparse_softmax_cross_entropy", 2, 2, "{}", sparse_softmax_cross_entropy},
    {"sparse_softmax_cross_entropy_grad", 3, 3, "{}", sparse_grad},
    {"lstm_cell", 2, 2, "{}", lstm_cell},
    {"lstm_cell_grad", 4, 4, "{}", lstm_cell_grad},
    {"gru_cell", 3, 3, "{}", gru_cell},
    {"gru_cell_grad", 4, 4, "{}", gru_cell_grad},
    {},
};

}  // namespace fb::graph
