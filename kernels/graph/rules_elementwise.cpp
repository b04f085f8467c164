// Rules of flowbook/ops/elementwise.py, reduction.py and state.py.
#include "graph/rules.h"

#include <algorithm>

namespace fb::graph {

namespace {

using Types = std::vector<Type>;

Types like_first(const Call& c) { return {c.tensor(0)}; }

Types number_like_first(const Call& c) {
    need_number(c.tensor(0).dtype);
    return {c.tensor(0)};
}

Types float_like_first(const Call& c) {
    Type x = c.tensor(0);
    x.dtype = float_of(x.dtype);
    return {x};
}

Types bool_like_first(const Call& c) {
    Type x = c.tensor(0);
    x.dtype = DType::b1;
    return {x};
}

Types broadcasting(const Call& c) { return {broadcast_of(c)}; }

Types broadcasting_number(const Call& c) {
    Type found = broadcast_of(c);
    need_number(found.dtype);
    return {found};
}

Types broadcasting_float(const Call& c) {
    Type found = broadcast_of(c);
    found.dtype = float_of(found.dtype);
    return {found};
}

Types broadcasting_bool(const Call& c) {
    Type found = broadcast_of(c);
    found.dtype = DType::b1;
    return {found};
}

Types where(const Call& c) {
    if (c.type(0).dtype != DType::b1) bad_graph("the condition of where has to be bool; compare first, such as x > 0");
    Type all = broadcast_of(c);
    all.dtype = promote({c.inputs.begin() + 1, c.inputs.end()});
    return {all};
}

DType named(const Call& c, const char* attribute) {
    DType dtype;
    if (!dtype_named(c.attrs.text(attribute), dtype))
        unsupported("the dtype '" + c.attrs.text(attribute).substr(0, 40) + "' is not known here");
    return dtype;
}

Types astype(const Call& c) {
    Type x = c.type(0);
    x.dtype = named(c, "dtype");
    return {x};
}

// ------------------------------------------------------------------------------------------------ reductions

Types sum(const Call& c) {
    const Type& x = c.tensor(0);
    char kind = kind_of(x.dtype);
    return {{kind == 'f' ? x.dtype : kind == 'u' ? DType::u64 : DType::i64, reduced(c, x), true}};
}

Types float_reduction(const Call& c) { return {{float_of(c.tensor(0).dtype), reduced(c, c.tensor(0)), true}}; }

Types spread(const Call& c) {
    c.attrs.real("correction");
    return float_reduction(c);
}

Types logsumexp(const Call& c) {
    need_number(c.tensor(0).dtype);
    return float_reduction(c);
}

Types bool_reduction(const Call& c) { return {{DType::b1, reduced(c, c.tensor(0)), true}}; }

void need_entries(const Call& c) {
    const Type& x = c.tensor(0);
    if (!x.ranked) return;
    for (int axis : c.axes("axis", x.rank()))
        if (x.shape[axis] == 0) bad_graph(text_of(x.shape) + " has no entries along its axis to choose from");
}

Types extreme(const Call& c) {
    need_entries(c);
    return {{c.tensor(0).dtype, reduced(c, c.tensor(0)), true}};
}

Types arg_extreme(const Call& c) {
    if (!c.none("axis")) normal_axis(c.attrs.integer("axis"), c.tensor(0).rank());
    need_entries(c);
    return {{DType::i64, reduced(c, c.tensor(0)), true}};
}

Types mean_weight(const Call& c) {
    c.attrs.real("correction");
    c.axes("axis", c.tensor(0).rank());
    return {{c.tensor(0).dtype, {}, true}};
}

Types tie_share(const Call& c) {
    c.flag("largest");
    c.axes("axis", c.tensor(0).rank());
    return {c.tensor(0)};
}

// ------------------------------------------------------------------------------------------------ variables

Types write(const Call& c) {
    const Type& variable = c.tensor(0);
    Type value = c.type(1);
    Type all = variable;
    bool fits = !value.ranked || value.shape.size() <= variable.dims().size();
    if (fits && value.ranked) fits = broadcast(all.shape, value.shape) && unify(all.shape, variable.shape);
    if (!fits)
        bad_graph("a value of shape " + text_of(value.shape) + " does not fit the variable of shape " +
                  text_of(variable.shape));
    DType dtype = c.is_number(1) ? promote(c.inputs) : value.dtype;
    if (!casts_same_kind(dtype, variable.dtype))
        bad_graph(std::string("a ") + name_of(dtype) + " value cannot be written to a " + name_of(variable.dtype) +
                  " variable; cast it with astype");
    return {all};
}

Types nothing(const Call&) { return {}; }

// ------------------------------------------------------------------------------------------------ random numbers

Types drawn(const Call& c, DType dtype) {
    const Attr* seed = c.attrs.find("seed");
    if (seed && seed->kind != Attr::integer) bad_graph("the seed is not an int");
    bool like = c.count() > 0 && c.input(0).kind == Operand::tensor;
    if (like != c.none("shape")) bad_graph("random numbers take a shape, or a tensor to be shaped like");
    if (like) {
        Type found = c.tensor(0);
        found.dtype = dtype;
        return {found};
    }
    Shape shape = c.attrs.integers("shape");
    for (Dim dim : shape)
        if (dim < 0) bad_graph("the shape of random numbers is negative");
    return {{dtype, shape, true}};
}

Types random_uniform(const Call& c) {
    DType dtype = named(c, "dtype");
    if (!is_float(dtype)) bad_graph("uniform numbers are floats");
    if (!(c.attrs.real("low") <= c.attrs.real("high"))) bad_graph("low is above high");
    return drawn(c, dtype);
}

Types random_normal(const Call& c) {
    DType dtype = named(c, "dtype");
    if (!is_float(dtype)) bad_graph("normal numbers are floats");
    c.attrs.real("mean");
    if (!(c.attrs.real("scale") >= 0)) bad_graph("the standard deviation is negative");
    return drawn(c, dtype);
}

Types random_bernoulli(const Call& c) {
    double p = c.attrs.real("p");
    if (!(p >= 0 && p <= 1)) bad_graph("p is not a probability");
    return drawn(c, DType::b1);
}

Types random_integers(const Call& c) {
    DType dtype = named(c, "dtype");
    if (kind_of(dtype) != 'i' && kind_of(dtype) != 'u') bad_graph("random integers are integers");
    int64_t low = c.attrs.integer("low"), high = c.attrs.integer("high");
    if (low >= high) bad_graph("no integer is in the range of random integers");
    if (!holds(dtype, low) || !holds(dtype, high - 1))
        bad_graph(std::string(name_of(dtype)) + " does not hold all of the range");
    return drawn(c, dtype);
}

Types random_permutation(const Call& c) {
    int64_t count = c.attrs.integer("count");
    if (count < 0) bad_graph("the count of a permutation is negative");
    const Attr* seed = c.attrs.find("seed");
    if (seed && seed->kind != Attr::integer) bad_graph("the seed is not an int");
    return {{DType::i64, {count}, true}};
}

// The first `count` tensors; what the function is for has been done when the graph was built.
Types custom_gradient(const Call& c) {
    int64_t count = c.attrs.integer("count");
    if (count < 0 || count > static_cast<int64_t>(c.count())) bad_graph("there are fewer tensors than its count says");
    Types found;
    for (int64_t k = 0; k < count; k++) found.push_back(c.tensor(static_cast<size_t>(k)));
    return found;
}

Types check_finite(const Call& c) {
    c.attrs.text("message");
    return {c.tensor(0)};
}

}  // namespace

const OpRule elementwise_rules[] = {
    {"add", 2, 2, "{}", broadcasting, true},
    {"subtract", 2, 2, "{}", broadcasting_number, true},
    {"multiply", 2, 2, "{}", broadcasting, true},
    {"divide", 2, 2, "{}", broadcasting_float, true},
    {"floor_divide", 2, 2, "{}", broadcasting_number, true},
    {"remainder", 2, 2, "{}", broadcasting_number, true},
    {"power", 2, 2, "{}", broadcasting_number, true},
    {"minimum", 2, 2, "{}", broadcasting, true},
    {"maximum", 2, 2, "{}", broadcasting, true},
    {"clip", 3, 3, "{}", broadcasting, true},
    {"where", 3, 3, "{}", where, true},
    {"negative", 1, 1, "{}", number_like_first},
    {"abs", 1, 1, "{}", number_like_first},
    {"sign", 1, 1, "{}", number_like_first},
    {"square", 1, 1, "{}", number_like_first},
    {"relu", 1, 1, "{}", number_like_first},
    {"sqrt", 1, 1, "{}", float_like_first},
    {"sin", 1, 1, "{}", float_like_first},
    {"cos", 1, 1, "{}", float_like_first},
    {"exp", 1, 1, "{}", float_like_first},
    {"log", 1, 1, "{}", float_like_first},
    {"tanh", 1, 1, "{}", float_like_first},
    {"sigmoid", 1, 1, "{}", float_like_first},
    {"gelu", 1, 1, "{}", float_like_first},
    {"equal", 2, 2, "{}", broadcasting_bool, true},
    {"not_equal", 2, 2, "{}", broadcasting_bool, true},
    {"less", 2, 2, "{}", broadcasting_bool, true},
    {"less_equal", 2, 2, "{}", broadcasting_bool, true},
    {"greater", 2, 2, "{}", broadcasting_bool, true},
    {"greater_equal", 2, 2, "{}", broadcasting_bool, true},
    {"logical_and", 2, 2, "{}", broadcasting_bool, true},
    {"logical_or", 2, 2, "{}", broadcasting_bool, true},
    {"logical_xor", 2, 2, "{}", broadcasting_bool, true},
    {"logical_not", 1, 1, "{}", bool_like_first},
    {"isnan", 1, 1, "{}", bool_like_first},
    {"isfinite", 1, 1, "{}", bool_like_first},
    {"astype", 1, 1, R"({"dtype": "!"})", astype},
    {"identity", 1, 1, "{}", like_first},
    {"stop_gradient", 1, 1, "{}", like_first},
    {"ones_like", 1, 1, "{}", like_first},
    {"zeros_like", 1, 1, "{}", like_first},
    {"sum", 1, 1, R"({"axis": null, "keepdims": false})", sum},
    {"mean", 1, 1, R"({"axis": null, "keepdims": false})", float_reduction},
    {"max", 1, 1, R"({"axis": null, "keepdims": false})", extreme},
    {"min", 1, 1, R"({"axis": null, "keepdims": false})", extreme},
    {"all", 1, 1, R"({"axis": null, "keepdims": false})", bool_reduction},
    {"any", 1, 1, R"({"axis": null, "keepdims": false})", bool_reduction},
    {"var", 1, 1, R"({"axis": null, "correction": 0, "keepdims": false})", spread},
    {"std", 1, 1, R"({"axis": null, "correction": 0, "keepdims": false})", spread},
    {"logsumexp", 1, 1, R"({"axis": null, "keepdims": false})", logsumexp},
    {"argmax", 1, 1, R"({"axis": null, "keepdims": false})", arg_extreme},
    {"argmin", 1, 1, R"({"axis": null, "keepdims": false})", arg_extreme},
    {"mean_weight", 1, 1, R"({"axis": null, "correction": 0})", mean_weight},
    {"tie_share", 1, 1, R"({"axis": null, "largest": true})", tie_share},
    {"assign", 2, 2, "{}", write, true, true},
    {"assign_add", 2, 2, "{}", write, true, true},
    {"assign_sub", 2, 2, "{}", write, true, true},
    {"group", 0, 0, "{}", nothing},
    {"random_uniform", 0, 1, R"({"shape": null, "low": 0.0, "high": 1.0, "dtype": "float32", "seed": null})",
     random_uniform},
    {"random_normal", 0, 1, R"({"shape": null, "mean": 0.0, "scale": 1.0, "dtype": "float32", "seed": null})",
     random_normal},
    {"random_bernoulli", 0, 1, R"({"shape": null, "p": 0.5, "seed": null})", random_bernoulli},
    {"random_integers", 0, 1, R"({"shape": null, "low": "!", "high": "!", "dtype": "int64", "seed": null})",
     random_integers},
    {"random_permutation", 0, 0, R"({"count": "!", "seed": null})", random_permutation},
    {"sigmoid_cross_entropy", 2, 2, "{}", broadcasting_float, true},
    {"custom_gradient", 0, -1, R"({"count": "!", "function": "!"})", custom_gradient},
    {"check_finite", 1, 1, R"({"message": ""})", check_finite},
    {},
};

}  // namespace fb::graph
