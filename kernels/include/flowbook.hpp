// flowbook for C++17, over the C functions of flowbook.h: nothing to link but libflowbook.so.
//
//     #include "flowbook.hpp"
//     #include <iostream>
//
//     int main() {
//         flowbook::Graph graph;
//         auto x = graph.placeholder<float>({-1, 3}, "x");
//         auto w = graph.variable("w", flowbook::Array<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
//         auto y = flowbook::softmax(flowbook::matmul(x, w) + 0.5);
//         flowbook::Session session(graph);
//         flowbook::Array<float> data({2, 3}, {1, 0, 0, 0, 1, 1});
//         flowbook::Array<float> result = session.run(y, {{x, data}});
//         for (float each : result) std::cout << each << ' ';
//         session.run(flowbook::assign_add(w, 1.0));
//         std::cout << session.get<float>(w).at({2, 1}) << '\n';
//     }
//
// Graphs, sessions and tensors are handles: copies mean the same thing, which lives until the last of them is gone.
// Every failure is a flowbook::Error.
#pragma once

#ifdef FLOWBOOK_OP
#error "flowbook.hpp is for programs, flowbook_op.h for operators: include them in files of their own"
#endif
#include "flowbook.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <locale>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace flowbook {

using Shape = std::vector<int64_t>;

// A status other than FB_OK.
class Error : public std::runtime_error {
  public:
    Error(fb_status status, const std::string& text) : std::runtime_error(text), status(status) {}
    fb_status status;
};

inline void check(fb_status status) {
    if (status != FB_OK) throw Error(status, fb_last_error());
}

template <class T> struct dtype_of;
template <> struct dtype_of<bool> { static constexpr fb_dtype value = FB_BOOL; };
template <> struct dtype_of<int8_t> { static constexpr fb_dtype value = FB_INT8; };
template <> struct dtype_of<int16_t> { static constexpr fb_dtype value = FB_INT16; };
template <> struct dtype_of<int32_t> { static constexpr fb_dtype value = FB_INT32; };
template <> struct dtype_of<int64_t> { static constexpr fb_dtype value = FB_INT64; };
template <> struct dtype_of<uint8_t> { static constexpr fb_dtype value = FB_UINT8; };
template <> struct dtype_of<uint16_t> { static constexpr fb_dtype value = FB_UINT16; };
template <> struct dtype_of<uint32_t> { static constexpr fb_dtype value = FB_UINT32; };
template <> struct dtype_of<uint64_t> { static constexpr fb_dtype value = FB_UINT64; };
template <> struct dtype_of<float> { static constexpr fb_dtype value = FB_FLOAT32; };
template <> struct dtype_of<double> { static constexpr fb_dtype value = FB_FLOAT64; };

// ------------------------------------------------------------------------------------------------ arrays

// An array with memory of its own, row-major. Moving one is cheap, copying one copies its elements.
template <class T> class Array {
  public:
    Array() : Array(Shape{0}) {}
    explicit Array(Shape shape)
        : shape_(std::move(shape)), own(std::make_unique<T[]>(count(shape_))), values(own.get()) {}
    Array(Shape shape, std::initializer_list<T> elements) : Array(std::move(shape)) { fill_from(elements); }
    Array(Shape shape, const std::vector<T>& elements) : Array(std::move(shape)) { fill_from(elements); }
    Array(const Array& other) : Array(other.shape_) { std::copy(other.begin(), other.end(), begin()); }
    Array(Array&& other) noexcept = default;
    Array& operator=(Array other) noexcept {
        shape_ = std::move(other.shape_);
        own = std::move(other.own);
        result = std::move(other.result);
        values = other.values;
        return *this;
    }
    // A single number without axes.
    static Array of(T value) {
        Array made{Shape{}};
        made.values[0] = value;
        return made;
    }
    // Takes over what the C functions made.
    static Array adopt(fb_array* raw) {
        std::unique_ptr<fb_array, Free> held(raw);
        fb_dtype dtype;
        int32_t rank;
        const int64_t* shape;
        void* data;
        check(fb_array_info(raw, &dtype, &rank, &shape, &data, nullptr));
        if (dtype != dtype_of<T>::value) throw Error(FB_BAD_ARGUMENT, "the array has another dtype than was asked for");
        return Array(Shape(shape, shape + rank), std::move(held), static_cast<T*>(data));
    }

    const Shape& shape() const { return shape_; }
    size_t size() const { return count(shape_); }
    T* data() { return values; }
    const T* data() const { return values; }
    T* begin() { return values; }
    T* end() { return values + size(); }
    const T* begin() const { return values; }
    const T* end() const { return values + size(); }
    T& operator[](size_t place) { return values[place]; }
    const T& operator[](size_t place) const { return values[place]; }
    T& at(const Shape& index) { return values[place(index)]; }
    const T& at(const Shape& index) const { return values[place(index)]; }
    T item() const {
        if (size() != 1) throw Error(FB_BAD_ARGUMENT, "the array does not have one element");
        return values[0];
    }

  private:
    struct Free {
        void operator()(fb_array* raw) const { fb_array_free(raw); }
    };
    Array(Shape shape, std::unique_ptr<fb_array, Free> held, T* data)
        : shape_(std::move(shape)), result(std::move(held)), values(data) {}

    static size_t count(const Shape& shape) {
        size_t all = 1;
        for (int64_t dim : shape) {
            if (dim < 0 || (dim && all > SIZE_MAX / sizeof(T) / static_cast<size_t>(dim)))
                throw Error(FB_BAD_ARGUMENT, "not a shape for an array");
            all *= static_cast<size_t>(dim);
        }
        return all;
    }
    template <class C> void fill_from(const C& elements) {
        if (elements.size() != size())
            throw Error(FB_BAD_ARGUMENT, "the number of elements is not what the shape says");
        std::copy(elements.begin(), elements.end(), begin());
    }
    size_t place(const Shape& index) const {
        if (index.size() != shape_.size()) throw Error(FB_BAD_ARGUMENT, "an index has a number for each axis");
        size_t at = 0;
        for (size_t i = 0; i < index.size(); i++) {
            if (index[i] < 0 || index[i] >= shape_[i]) throw Error(FB_BAD_ARGUMENT, "an index is out of range");
            at = at * static_cast<size_t>(shape_[i]) + static_cast<size_t>(index[i]);
        }
        return at;
    }

    Shape shape_;
    std::unique_ptr<T[]> own;
    std::unique_ptr<fb_array, Free> result;
    T* values = nullptr;
};

// ------------------------------------------------------------------------------------------------ attributes

// The value of an attribute, as JSON: numbers, bools, texts, tuples of ints, nullptr for None.
class Value {
  public:
    Value(std::nullptr_t) : json("null") {}
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> Value(T value) {
        if constexpr (std::is_same_v<T, bool>) json = value ? "true" : "false";
        else if constexpr (std::is_integral_v<T>) json = std::to_string(value);
        else json = number(value);
    }
    Value(const char* value) : json(quote(value)) {}
    Value(const std::string& value) : json(quote(value)) {}
    Value(const Shape& values) : json("[") {
        for (size_t i = 0; i < values.size(); i++) json += (i ? "," : "") + std::to_string(values[i]);
        json += "]";
    }
    // Anything that JSON can say.
    static Value raw(std::string text) {
        Value made(nullptr);
        made.json = std::move(text);
        return made;
    }
    static std::string quote(const std::string& text) {
        std::string made = "\"";
        for (char c : text) {
            if (c == '"' || c == '\\') made += '\\';
            made += c;
        }
        return made + '"';
    }
    std::string json;

  private:
    static std::string number(double value) {
        if (std::isnan(value)) return R"({"$float": "nan"})";
        if (std::isinf(value)) return value > 0 ? R"({"$float": "inf"})" : R"({"$float": "-inf"})";
        std::ostringstream text;
        text.imbue(std::locale::classic());
        text.precision(17);
        text << value;
        std::string made = text.str();
        return made.find_first_of(".e") == std::string::npos ? made + ".0" : made;
    }
};

using Attributes = std::vector<std::pair<std::string, Value>>;
using Axes = std::optional<Shape>;  // none: all

// ------------------------------------------------------------------------------------------------ graphs

class Graph;

// An output of a node; or the node, where it has none.
class Tensor {
  public:
    Tensor() = default;  // none; to be assigned
    fb_tensor id = FB_NONE;

    Graph graph() const;
    std::string name() const;
    std::string op() const;
    fb_dtype dtype() const;
    Shape shape() const;  // -1 where a size is not known
    bool operator==(const Tensor& other) const { return id == other.id && owner == other.owner; }
    bool operator<(const Tensor& other) const { return id < other.id; }

  private:
    friend class Graph;
    Tensor(fb_tensor id, std::shared_ptr<fb_graph> owner) : id(id), owner(std::move(owner)) {}
    std::shared_ptr<fb_graph> owner;
};

// What an op takes: a tensor, or a number, which takes the dtype of the tensor it meets.
class Operand {
  public:
    Operand(const Tensor& tensor) : tensor(tensor) {}
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> Operand(T value) {
        kind = std::is_same_v<T, bool> ? flag : std::is_integral_v<T> ? integer : real;
        if (kind == real) number = static_cast<double>(value);
        else whole = static_cast<int64_t>(value);
    }

  private:
    friend class Graph;
    enum { a_tensor, integer, real, flag } kind = a_tensor;
    std::optional<Tensor> tensor;
    int64_t whole = 0;
    double number = 0;
};

class Graph {
  public:
    Graph() {
        fb_graph* made;
        check(fb_graph_new(&made));
        handle = {made, fb_graph_free};
    }
    // A graph that flowbook.save_graph wrote in Python.
    static Graph load(const std::string& path) {
        fb_graph* made;
        check(fb_graph_load(path.c_str(), &made));
        return Graph({made, fb_graph_free});
    }

    // `names`: of axes, "" for those without.
    template <class T>
    Tensor placeholder(const Shape& shape, const std::string& name = "", const std::vector<std::string>& names = {}) {
        std::vector<const char*> texts(shape.size(), nullptr);
        for (size_t i = 0; i < names.size() && i < texts.size(); i++)
            if (!names[i].empty()) texts[i] = names[i].c_str();
        fb_tensor made;
        check(fb_graph_placeholder(get(), name.c_str(), dtype_of<T>::value, static_cast<int32_t>(shape.size()),
                                   shape.data(), texts.data(), &made));
        return tensor(made);
    }
    template <class T> Tensor constant(const Array<T>& value, const std::string& name = "") {
        fb_tensor made;
        check(fb_graph_constant(get(), name.c_str(), dtype_of<T>::value, static_cast<int32_t>(value.shape().size()),
                                value.shape().data(), value.data(), &made));
        return tensor(made);
    }
    template <class T> Tensor variable(const std::string& name, const Array<T>& value, bool trainable = true) {
        fb_tensor made;
        check(fb_graph_variable(get(), name.c_str(), dtype_of<T>::value, static_cast<int32_t>(value.shape().size()),
                                value.shape().data(), value.data(), trainable, &made));
        return tensor(made);
    }

    // All outputs of a node of any op.
    std::vector<Tensor> add(const std::string& op, const std::vector<Operand>& inputs,
                            const Attributes& attributes = {},
                            const std::string& name = "") {
        std::vector<fb_tensor> ids;
        for (const Operand& each : inputs) ids.push_back(input(each));
        std::string json = "{";
        for (auto& [key, value] : attributes)
            json += (json.size() > 1 ? "," : "") + Value::quote(key) + ":" + value.json;
        json += "}";
        fb_tensor first;
        int32_t outputs;
        check(fb_graph_add(get(), op.c_str(), name.c_str(), ids.data(), static_cast<int32_t>(ids.size()), json.c_str(),
                           &first, &outputs));
        std::vector<Tensor> found;
        for (int32_t k = 0; k < std::max(outputs, 1); k++) found.push_back(tensor(first + k));
        return found;
    }
    // A node that is done when others are.
    Tensor group(const std::vector<Tensor>& nodes, const std::string& name = "") {
        std::vector<fb_tensor> ids;
        for (const Tensor& each : nodes) ids.push_back(each.id);
        fb_tensor made;
        check(fb_graph_group(get(), name.c_str(), ids.data(), static_cast<int32_t>(ids.size()), &made));
        return tensor(made);
    }

    // The tensor called "name" or "name:1".
    Tensor find(const std::string& name) const {
        fb_tensor found;
        check(fb_graph_find(get(), nullptr, name.c_str(), &found));
        return tensor(found);
    }
    Tensor find(const std::string& name, const std::string& cell) const {
        fb_tensor found;
        check(fb_graph_find(get(), cell.c_str(), name.c_str(), &found));
        return tensor(found);
    }
    Tensor operator[](const std::string& name) const { return find(name); }
    std::vector<Tensor> placeholders() const { return list(fb_graph_placeholders); }
    std::vector<Tensor> variables() const { return list(fb_graph_variables); }
    // For Python's load_graph, or `load`.
    void save(const std::string& path) const { check(fb_graph_save(get(), path.c_str())); }
    size_t size() const {
        int64_t nodes;
        check(fb_graph_size(get(), &nodes));
        return static_cast<size_t>(nodes);
    }
    fb_graph* get() const { return handle.get(); }

  private:
    friend class Tensor;
    explicit Graph(std::shared_ptr<fb_graph> handle) : handle(std::move(handle)) {}
    Tensor tensor(fb_tensor id) const { return {id, handle}; }

    fb_tensor input(const Operand& operand) {
        fb_tensor made = FB_NONE;
        switch (operand.kind) {
            case Operand::a_tensor:
                if (operand.tensor->owner != handle) throw Error(FB_BAD_ARGUMENT, "a tensor belongs to another graph");
                return operand.tensor->id;
            case Operand::integer: check(fb_graph_int(get(), operand.whole, &made)); break;
            case Operand::real: check(fb_graph_real(get(), operand.number, &made)); break;
            case Operand::flag: check(fb_graph_bool(get(), operand.whole != 0, &made)); break;
        }
        return made;
    }

    std::vector<Tensor> list(fb_status (*function)(fb_graph*, fb_tensor*, int64_t, int64_t*)) const {
        int64_t count;
        check(function(get(), nullptr, 0, &count));
        std::vector<fb_tensor> ids(static_cast<size_t>(count));
        check(function(get(), ids.data(), count, &count));
        std::vector<Tensor> found;
        for (fb_tensor each : ids) found.push_back(tensor(each));
        return found;
    }

    std::shared_ptr<fb_graph> handle;
};

inline Graph Tensor::graph() const { return Graph(owner); }
inline std::string Tensor::name() const {
    const char* text;
    check(fb_tensor_node(owner.get(), id, &text, nullptr, nullptr, nullptr));
    return text;
}
inline std::string Tensor::op() const {
    const char* text;
    check(fb_tensor_node(owner.get(), id, nullptr, &text, nullptr, nullptr));
    return text;
}
inline fb_dtype Tensor::dtype() const {
    fb_dtype found;
    check(fb_tensor_type(owner.get(), id, &found, nullptr, nullptr));
    return found;
}
inline Shape Tensor::shape() const {
    int32_t rank;
    int64_t sizes[8];
    check(fb_tensor_type(owner.get(), id, nullptr, &rank, sizes));
    if (rank < 0) throw Error(FB_BAD_ARGUMENT, "the rank of '" + name() + "' is not known");
    return Shape(sizes, sizes + rank);
}

// ------------------------------------------------------------------------------------------------ ops

// A node of an op with one output; `x` says in which graph.
inline Tensor node(const Tensor& x, const char* op, const std::vector<Operand>& inputs,
                   const Attributes& attributes = {}) {
    return x.graph().add(op, inputs, attributes)[0];
}
inline Value axes_value(const Axes& axes) { return axes ? Value(*axes) : Value(nullptr); }

#define FLOWBOOK_BINARY(function, op)                                                                          \
    inline Tensor function(const Tensor& x, const Operand& y) { return node(x, op, {x, y}); }                  \
    inline Tensor function(const Operand& x, const Tensor& y) { return node(y, op, {x, y}); }                  \
    inline Tensor function(const Tensor& x, const Tensor& y) { return node(x, op, {x, y}); }
FLOWBOOK_BINARY(operator+, "add")
FLOWBOOK_BINARY(operator-, "subtract")
FLOWBOOK_BINARY(operator*, "multiply")
FLOWBOOK_BINARY(operator/, "divide")
FLOWBOOK_BINARY(power, "power")
FLOWBOOK_BINARY(minimum, "minimum")
FLOWBOOK_BINARY(maximum, "maximum")
FLOWBOOK_BINARY(equal, "equal")
FLOWBOOK_BINARY(less, "less")
FLOWBOOK_BINARY(greater, "greater")
#undef FLOWBOOK_BINARY

#define FLOWBOOK_UNARY(function, op) \
    inline Tensor function(const Tensor& x) { return node(x, op, {x}); }
FLOWBOOK_UNARY(operator-, "negative")
FLOWBOOK_UNARY(abs, "abs")
FLOWBOOK_UNARY(square, "square")
FLOWBOOK_UNARY(sqrt, "sqrt")
FLOWBOOK_UNARY(exp, "exp")
FLOWBOOK_UNARY(log, "log")
FLOWBOOK_UNARY(sin, "sin")
FLOWBOOK_UNARY(cos, "cos")
FLOWBOOK_UNARY(tanh, "tanh")
FLOWBOOK_UNARY(sigmoid, "sigmoid")
FLOWBOOK_UNARY(relu, "relu")
FLOWBOOK_UNARY(gelu, "gelu")
FLOWBOOK_UNARY(identity, "identity")
#undef FLOWBOOK_UNARY

#define FLOWBOOK_REDUCTION(function)                                                      \
    inline Tensor function(const Tensor& x, const Axes& axes = {}, bool keepdims = false) { \
        return node(x, #function, {x}, {{"axis", axes_value(axes)}, {"keepdims", keepdims}}); \
    }
FLOWBOOK_REDUCTION(sum)
FLOWBOOK_REDUCTION(mean)
FLOWBOOK_REDUCTION(max)
FLOWBOOK_REDUCTION(min)
#undef FLOWBOOK_REDUCTION

inline Tensor argmax(const Tensor& x, int64_t axis = -1) { return node(x, "argmax", {x}, {{"axis", axis}}); }
inline Tensor where(const Tensor& condition, const Operand& x, const Operand& y) {
    return node(condition, "where", {condition, x, y});
}
inline Tensor matmul(const Tensor& x, const Tensor& y) { return node(x, "matmul", {x, y}); }
inline Tensor softmax(const Tensor& x, int64_t axis = -1) { return node(x, "softmax", {x}, {{"axis", axis}}); }
inline Tensor log_softmax(const Tensor& x, int64_t axis = -1) { return node(x, "log_softmax", {x}, {{"axis", axis}}); }
inline Tensor layer_norm(const Tensor& x, const Operand& scale, const Operand& offset, double epsilon = 1e-5) {
    return node(x, "layer_norm", {x, scale, offset}, {{"epsilon", epsilon}});
}
inline Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                           bool causal = false) {
    return node(query, "scaled_dot_product_attention", {query, key, value}, {{"causal", causal}});
}
inline Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                           const Tensor& mask, bool causal = false) {
    return node(query, "scaled_dot_product_attention", {query, key, value, mask}, {{"causal", causal}});
}
inline Tensor conv2d(const Tensor& x, const Tensor& filters, const Shape& strides = {1, 1},
                     const std::string& padding = "same") {
    return node(x, "conv2d", {x, filters}, {{"strides", strides}, {"padding", padding}});
}
inline Tensor max_pool(const Tensor& x, const Shape& window = {2, 2}) {
    return node(x, "max_pool", {x}, {{"window", window}});
}
inline Tensor avg_pool(const Tensor& x, const Shape& window = {2, 2}) {
    return node(x, "avg_pool", {x}, {{"window", window}});
}
inline Tensor reshape(const Tensor& x, const Shape& shape) { return node(x, "reshape", {x}, {{"shape", shape}}); }
inline Tensor transpose(const Tensor& x, const Axes& axes = {}) {
    return node(x, "transpose", {x}, {{"axes", axes_value(axes)}});
}
inline Tensor expand_dims(const Tensor& x, int64_t axis) { return node(x, "expand_dims", {x}, {{"axis", axis}}); }
inline Tensor gather(const Tensor& x, const Tensor& indices, int64_t axis = 0) {
    return node(x, "gather", {x, indices}, {{"axis", axis}});
}
inline Tensor concat(const std::vector<Tensor>& xs, int64_t axis = 0) {
    if (xs.empty()) throw Error(FB_BAD_ARGUMENT, "concat needs at least one tensor");
    return node(xs[0], "concat", {xs.begin(), xs.end()}, {{"axis", axis}});
}
inline std::vector<Tensor> split(const Tensor& x, int64_t parts, int64_t axis = 0) {
    return x.graph().add("split", {x}, {{"indices_or_sections", parts}, {"axis", axis}});
}
inline Tensor cast(const Tensor& x, const std::string& dtype) { return node(x, "astype", {x}, {{"dtype", dtype}}); }
inline Tensor sparse_softmax_cross_entropy(const Tensor& labels, const Tensor& logits) {
    return node(logits, "sparse_softmax_cross_entropy", {labels, logits});
}
inline Tensor assign(const Tensor& variable, const Operand& value) {
    return node(variable, "assign", {variable, value});
}
inline Tensor assign_add(const Tensor& variable, const Operand& value) {
    return node(variable, "assign_add", {variable, value});
}
inline Tensor assign_sub(const Tensor& variable, const Operand& value) {
    return node(variable, "assign_sub", {variable, value});
}

// ------------------------------------------------------------------------------------------------ sessions

// The value of a tensor in one run. The array has to stay until the run is over.
class Feed {
  public:
    template <class T> Feed(const Tensor& tensor, const Array<T>& value)
        : Feed(tensor, value.shape(), value.data()) {}
    // Memory of the caller's, row-major.
    template <class T> Feed(const Tensor& tensor, const Shape& shape, const T* data)
        : raw{tensor.id, dtype_of<T>::value, static_cast<int32_t>(shape.size()), shape.data(), data} {}
    fb_feed raw;
};

// What a run gives: an Array of the dtype that the tensor has.
class Result {
  public:
    explicit Result(fb_array* raw) : raw(raw, fb_array_free) {}
    template <class T> operator Array<T>() && { return Array<T>::adopt(raw.release()); }
    template <class T> Array<T> as() { return Array<T>::adopt(raw.release()); }
    bool empty() const { return !raw; }  // of a node without outputs

  private:
    std::unique_ptr<fb_array, void (*)(fb_array*)> raw;
};

class Session {
  public:
    // `threads`: 0 for as many as the process may use.
    explicit Session(const Graph& graph, int threads = 0) {
        fb_session* made;
        check(fb_session_new(graph.get(), threads, &made));
        handle = {made, fb_session_free};
    }

    // All or nothing: variables change when the whole run has succeeded.
    std::vector<Result> run(const std::vector<Tensor>& fetches, const std::vector<Feed>& feeds = {}) {
        std::vector<fb_tensor> ids;
        std::vector<fb_feed> raw;
        std::vector<fb_array*> results(fetches.size(), nullptr);
        for (const Tensor& each : fetches) ids.push_back(each.id);
        for (const Feed& each : feeds) raw.push_back(each.raw);
        check(fb_session_run(handle.get(), ids.data(), static_cast<int32_t>(ids.size()), raw.data(),
                             static_cast<int32_t>(raw.size()), results.data()));
        std::vector<Result> found;
        found.reserve(results.size());
        for (fb_array* each : results) found.emplace_back(each);
        return found;
    }
    Result run(const Tensor& fetch, const std::vector<Feed>& feeds = {}) {
        return std::move(run(std::vector<Tensor>{fetch}, feeds)[0]);
    }

    template <class T> Array<T> get(const Tensor& variable) {
        fb_array* value;
        check(fb_session_get(handle.get(), variable.id, &value));
        return Array<T>::adopt(value);
    }
    template <class T> void set(const Tensor& variable, const Array<T>& value) {
        check(fb_session_set(handle.get(), variable.id, dtype_of<T>::value, static_cast<int32_t>(value.shape().size()),
                             value.shape().data(), value.data()));
    }
    // Checkpoints, as in Python.
    void save(const std::string& path) { check(fb_session_save(handle.get(), path.c_str())); }
    void restore(const std::string& path, bool strict = true) {
        check(fb_session_restore(handle.get(), path.c_str(), strict));
    }
    // The graph with these values.
    void save_graph(const std::string& path) { check(fb_session_save_graph(handle.get(), path.c_str())); }
    fb_session* get() const { return handle.get(); }

  private:
    std::shared_ptr<fb_session> handle;
};

}  // namespace flowbook
