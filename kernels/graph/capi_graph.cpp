// The C functions that build graphs and look at them.
#include "graph/capi.h"

#include <algorithm>
#include <mutex>

using namespace fb;
using namespace fb::capi;

namespace {

Input input_from(const Graph& graph, fb_tensor tensor) {
    Input made;
    if (tensor == FB_NONE) return made;
    if (tensor < 0) {
        uint64_t place = static_cast<uint64_t>(-(tensor + 2));
        if (place >= graph.numbers.size()) bad_argument("there is no number " + std::to_string(tensor));
        made.kind = Input::number;
        made.number_ = graph.numbers[place];
        return made;
    }
    Ref ref = ref_from(graph, tensor, false);
    made.kind = Input::tensor;
    made.node = ref.node;
    made.index = ref.index;
    return made;
}

template <class F> fb_status building(fb_graph* graph, fb_tensor* result, F&& f) noexcept {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(result, "the pointer for the result");
        std::unique_lock hold(g.mutex);
        *result = f(g);
    });
}

fb_status number(fb_graph* graph, fb_tensor* result, Number value) {
    return building(graph, result, [&](Graph& g) {
        if (g.numbers.size() >= (1u << 30)) bad_argument("the graph has too many numbers");
        g.numbers.push_back(value);
        return -static_cast<int64_t>(g.numbers.size()) - 1;
    });
}

fb_status make_graph(fb_graph** made, const std::function<std::shared_ptr<Graph>()>& make) {
    return guarded([&] {
        need(made, "the pointer for the graph");
        auto handle = std::make_unique<fb_graph>();
        handle->graph = make();
        *made = handle.release();
    });
}

fb_status list(fb_graph* graph, const char* op, fb_tensor* tensors, int64_t capacity, int64_t* count) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(count, "count");
        if (capacity < 0 || (capacity && !tensors)) bad_argument("there is no room for tensors");
        std::shared_lock hold(g.mutex);
        std::vector<int32_t> found;
        for (size_t k = 0; k < g.nodes.size(); k++)
            if (g.nodes[k].op == op) found.push_back(static_cast<int32_t>(k));
        std::sort(found.begin(), found.end(), [&](int32_t a, int32_t b) { return g.order[a] < g.order[b]; });
        for (size_t k = 0; k < found.size() && static_cast<int64_t>(k) < capacity; k++)
            tensors[k] = tensor_of(found[k]);
        *count = static_cast<int64_t>(found.size());
    });
}

}  // namespace

extern "C" {

fb_status fb_graph_new(fb_graph** graph) {
    return make_graph(graph, [] { return std::make_shared<Graph>(); });
}

fb_status fb_graph_load(const char* path, fb_graph** graph) {
    return make_graph(graph, [&] {
        need(path, "path");
        return load_graph(path);
    });
}

fb_status fb_graph_load_bytes(const void* data, size_t bytes, fb_graph** graph) {
    return make_graph(graph, [&] {
        need(data, "data");
        return graph_from(parse_container(static_cast<const char*>(data), bytes, "graph"));
    });
}

fb_status fb_graph_save(fb_graph* graph, const char* path) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(path, "path");
        std::shared_lock hold(g.mutex);
        save_graph(g, nullptr, path);
    });
}

void fb_graph_free(fb_graph* graph) { release(graph); }

fb_status fb_graph_placeholder(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank, const int64_t* shape,
                               const char* const* dim_names, fb_tensor* tensor) {
    return building(graph, tensor, [&](Graph& g) {
        Shape dims = shape_from(rank, shape, false);
        for (size_t i = 0; dim_names && i < dims.size(); i++)
            if (dim_names[i]) dims[i] = g.named(name_from(dim_names[i]));
        return tensor_of(g.placeholder(name_from(name), dtype_from(dtype), dims));
    });
}

fb_status fb_graph_constant(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank, const int64_t* shape,
                            const void* data, fb_tensor* tensor) {
    return building(graph, tensor, [&](Graph& g) {
        return tensor_of(g.constant(name_from(name), array_from(dtype, rank, shape, data)));
    });
}

fb_status fb_graph_variable(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank, const int64_t* shape,
                            const void* data, int32_t trainable, fb_tensor* tensor) {
    return building(graph, tensor, [&](Graph& g) {
        need(name, "the name of a variable");
        return tensor_of(g.variable(name_from(name), array_from(dtype, rank, shape, data), trainable != 0));
    });
}

fb_status fb_graph_int(fb_graph* graph, int64_t value, fb_tensor* result) {
    return number(graph, result, {Number::integer, value, 0});
}
fb_status fb_graph_real(fb_graph* graph, double value, fb_tensor* result) {
    return number(graph, result, {Number::real, 0, value});
}
fb_status fb_graph_bool(fb_graph* graph, int32_t value, fb_tensor* result) {
    return number(graph, result, {Number::boolean, value != 0, 0});
}

fb_status fb_graph_add(fb_graph* graph, const char* op, const char* name, const fb_tensor* inputs, int32_t count,
                       const char* attributes, fb_tensor* first, int32_t* outputs) {
    return building(graph, first, [&](Graph& g) {
        need(op, "op");
        need_count(count, inputs, "inputs");
        const OpRule* rule = find_rule(op);
        if (!rule) bad_argument("no op that can be added is called " + shown(op));
        Attrs attrs;
        try {
            attrs = attributes_of(*rule, parse_json(attributes && *attributes ? attributes : "{}"), true);
        } catch (const Error& error) {
            bad_argument(std::string("attributes of ") + op + ": " + error.what());
        }
        std::vector<Input> given;
        for (int32_t k = 0; k < count; k++) given.push_back(input_from(g, inputs[k]));
        int32_t made = g.add(op, name_from(name), std::move(given), std::move(attrs));
        if (outputs) *outputs = static_cast<int32_t>(g.nodes[made].types.size());
        return tensor_of(made);
    });
}

fb_status fb_graph_group(fb_graph* graph, const char* name, const fb_tensor* nodes, int32_t count, fb_tensor* node) {
    return building(graph, node, [&](Graph& g) {
        need_count(count, nodes, "nodes");
        std::vector<int32_t> controls;
        for (int32_t k = 0; k < count; k++) controls.push_back(ref_from(g, nodes[k]).node);
        return tensor_of(g.add("group", name_from(name), {}, {}, std::move(controls)));
    });
}

fb_status fb_graph_find(fb_graph* graph, const char* cell, const char* name, fb_tensor* tensor) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(name, "name");
        need(tensor, "tensor");
        std::shared_lock hold(g.mutex);
        Ref found = g.find(cell, name);
        *tensor = tensor_of(found.node) + found.index;
    });
}

fb_status fb_graph_size(fb_graph* graph, int64_t* nodes) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(nodes, "nodes");
        std::shared_lock hold(g.mutex);
        *nodes = static_cast<int64_t>(g.nodes.size());
    });
}

fb_status fb_graph_at(fb_graph* graph, int64_t place, fb_tensor* tensor) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        need(tensor, "tensor");
        std::shared_lock hold(g.mutex);
        // Almost always nodes stand in program order.
        if (place < 0 || place >= static_cast<int64_t>(g.order.size()))
            bad_argument("there is no node " + std::to_string(place));
        int64_t node = g.order[place] == place ? place : std::find(g.order.begin(), g.order.end(),
                                                                   place) - g.order.begin();
        *tensor = tensor_of(node);
    });
}

fb_status fb_graph_placeholders(fb_graph* graph, fb_tensor* tensors, int64_t capacity, int64_t* count) {
    return list(graph, "placeholder", tensors, capacity, count);
}
fb_status fb_graph_variables(fb_graph* graph, fb_tensor* tensors, int64_t capacity, int64_t* count) {
    return list(graph, "variable", tensors, capacity, count);
}

fb_status fb_tensor_type(fb_graph* graph, fb_tensor tensor, fb_dtype* dtype, int32_t* rank, int64_t* shape) {
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        std::shared_lock hold(g.mutex);
        const Type& type = g.type(ref_from(g, tensor, false));
        if (dtype) *dtype = static_cast<fb_dtype>(type.dtype);
        if (rank) *rank = type.ranked ? static_cast<int32_t>(type.shape.size()) : -1;
        for (size_t i = 0; shape && i < type.shape.size() && i < max_rank; i++)
            shape[i] = std::max<Dim>(type.shape[i], -1);
    });
}

fb_status fb_tensor_node(fb_graph* graph, fb_tensor tensor, const char** name, const char** op, const char** cell,
                         int32_t* outputs) {
    static thread_local std::string texts[3];
    return guarded([&] {
        Graph& g = *handle(graph, "graph").graph;
        std::shared_lock hold(g.mutex);
        const Node& node = g.nodes[ref_from(g, tensor).node];
        texts[0] = node.name;
        texts[1] = node.op;
        texts[2] = g.cells[node.cell];
        if (name) *name = texts[0].c_str();
        if (op) *op = texts[1].c_str();
        if (cell) *cell = texts[2].c_str();
        if (outputs) *outputs = static_cast<int32_t>(node.types.size());
    });
}

}  // extern "C"
