// Reading the graphs that flowbook.save_graph writes (flowbook/graph/serialize.py says what is in them).
#include "graph/graph.h"

#include <algorithm>
#include <set>

namespace fb::graph {

namespace {

[[noreturn]] void refuse(const std::string& why) { throw GraphError(Trouble::file, "this is not a graph: " + why); }

const Json& member(const Json& of, const char* name, Json::Kind kind) {
    if (of.kind != Json::object) refuse(std::string("an object is missing, where '") + name + "' should be");
    const Json* found = of.find(name);
    if (!found || found->kind != kind) refuse(std::string("'") + name + "' is missing, or of another kind");
    return *found;
}

int32_t pick(const Json& value, size_t count, const char* what) {
    if (value.kind != Json::integer || value.number < 0 || value.number >= static_cast<int64_t>(count))
        refuse(std::string("there is no such ") + what);
    return static_cast<int32_t>(value.number);
}

class Reader {
  public:
    Reader(const Container& file) : file(file), graph(std::make_shared<Graph>()) {}

    std::shared_ptr<Graph> read() {
        const Json& document = member(file.document, "graph", Json::object);
        const Json* seed = document.find("seed");
        if (!seed || (seed->kind != Json::integer && seed->kind != Json::large)) refuse("'seed' is missing");
        graph->seed = seed->kind == Json::large ? seed->text : std::to_string(seed->number);
        read_cells(member(document, "cells", Json::list));
        read_nodes(member(document, "nodes", Json::list));
        read_values();
        return graph;
    }

  private:
    // A body: what a cond runs. It belongs to the cell of the node that has it.
    std::shared_ptr<Graph> read_body(const Json& document, const Graph& outer, int32_t cell) {
        graph->seed = outer.seed;
        graph->cells[0] = outer.cells[cell];
        cell_of = {0};
        positions = {0};
        in_body = true;
        const Json& nodes = member(document, "nodes", Json::list);
        read_nodes(nodes);
        size_t sources = 0;
        for (const Node& each : graph->nodes) sources += each.op == "capture";
        for (const Json& each : member(document, "inputs", Json::list).items) {
            graph->captures.push_back(pick(each, graph->nodes.size(), "node"));
            if (graph->nodes[graph->captures.back()].op != "capture") refuse("a body has an input that is no capture");
        }
        std::set<int32_t> unique(graph->captures.begin(), graph->captures.end());
        if (unique.size() != graph->captures.size() || unique.size() != sources)
            refuse("a body and its node disagree about captures");
        for (const Json& each : member(document, "outputs", Json::list).items) {
            Node ignored;
            if (each.kind == Json::list) {
                Input found = input(each, ignored);
                graph->outputs.push_back({found.node, found.index});
            } else {
                graph->outputs.push_back({pick(each, graph->nodes.size(), "node"), -1});
            }
        }
        return graph;
    }

    void read_nodes(const Json& nodes) {
        for (const Json& each : nodes.items) header(each);
        for (size_t k = 0; k < nodes.items.size(); k++) body(static_cast<int32_t>(k), nodes.items[k]);
        set_order();
        for (size_t k = 0; k < graph->nodes.size(); k++) check(static_cast<int32_t>(k));
        check_forward();
        std::vector<int32_t> all(graph->nodes.size());
        for (size_t k = 0; k < all.size(); k++) all[k] = static_cast<int32_t>(k);
        topological(*graph, std::move(all), [&](int32_t node, std::vector<int32_t>& found) {
            for (const Input& each : graph->nodes[node].inputs)
                if (each.kind == Input::tensor) found.push_back(each.node);
            found.insert(found.end(), graph->nodes[node].controls.begin(), graph->nodes[node].controls.end());
        });
    }

    void read_cells(const Json& cells) {
        std::vector<std::string> names;
        for (const Json& each : cells.items) {
            const std::string& name = member(each, "name", Json::string).text;
            positions.push_back(member(each, "position", Json::integer).number);
            names.push_back(name);
            // Cell 0 of a graph is the script, that new nodes go to.
            if (name.empty()) cell_of.push_back(0);
            else {
                cell_of.push_back(static_cast<int32_t>(graph->cells.size()));
                graph->cells.push_back(name);
            }
        }
        std::sort(names.begin(), names.end());
        if (std::adjacent_find(names.begin(), names.end()) != names.end()) refuse("a cell is there twice");
        auto sorted = positions;
        std::sort(sorted.begin(), sorted.end());
        if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) refuse("two cells have one position");
    }

    // Name, op and outputs: what other nodes may refer to.
    void header(const Json& document) {
        Node node;
        int32_t cell = pick(member(document, "cell", Json::integer), cell_of.size(), "cell");
        place.push_back(positions[cell]);
        node.cell = cell_of[cell];
        node.name = member(document, "name", Json::string).text;
        node.op = member(document, "op", Json::string).text;
        if (node.name.empty() || node.name.find('\n') != std::string::npos) refuse("a node has no name");
        if (!taken.insert({node.cell, node.name}).second) refuse(shown(node.name) + " is there twice");
        const Json& specs = member(document, "specs", Json::list);
        if (specs.items.size() > static_cast<size_t>(most_outputs)) refuse("a node has too many outputs");
        for (const Json& each : specs.items) node.types.push_back(read_type(each, node));
        graph->append(std::move(node));
    }

    Type read_type(const Json& spec, Node& node) {
        if (spec.kind != Json::list || spec.items.size() != 2 || spec.items[0].kind != Json::string)
            refuse("a spec is not a pair of dtype and shape");
        Type type;
        if (!dtype_named(spec.items[0].text, type.dtype)) {
            if (spec.items[0].text != "float16") refuse("a dtype is not known");
            node.unsupported = "float16 has no native kernels";
        }
        const Json& shape = spec.items[1];
        if (shape.kind == Json::null) type.ranked = false;
        else if (shape.kind != Json::list) refuse("a shape is no list");
        for (const Json& dim : shape.items) {
            if (dim.kind == Json::null) type.shape.push_back(open);
            else if (dim.kind == Json::string) type.shape.push_back(graph->named(dim.text));
            else if (dim.kind == Json::integer && dim.number >= 0) type.shape.push_back(dim.number);
            else refuse("a dimension is neither a size nor a name");
        }
        if (type.shape.size() > max_rank) node.unsupported = "it has more than 8 axes";
        else if (type.ranked) check_shape(type.shape);
        return type;
    }

    SharedArray array(const Json& value) const {
        const Json* name = value.find("array");
        if (value.kind != Json::object || value.members.size() != 1 || !name || name->kind != Json::string)
            return nullptr;
        auto found = file.arrays.find(name->text);
        if (found == file.arrays.end()) refuse("an attribute refers to an array that is not there");
        return found->second;
    }

    void body(int32_t number, const Json& document) {
        Node& node = graph->nodes[number];
        size_t count = graph->nodes.size();
        for (const Json& each : member(document, "inputs", Json::list).items) node.inputs.push_back(input(each, node));
        if (const Json* controls = document.find("controls")) {
            if (controls->kind != Json::list) refuse("'controls' is no list");
            for (const Json& each : controls->items) node.controls.push_back(pick(each, count, "node"));
        }
        if (const Json* forward = document.find("forward"); forward && forward->kind != Json::null)
            node.forward = pick(*forward, count, "node");
        const Json& attrs = member(document, "attrs", Json::object);
        if (node.source()) {
            source(node, attrs);
            return;
        }
        if (node.op == "cond") {
            node.branches = read_branches(node, attrs);
            return;
        }
        node.rule = find_rule(node.op);
        if (!node.rule) {
            node.unsupported = "'" + shown(node.op) + "' needs Python";
            return;
        }
        try {
            node.attrs = attributes_of(*node.rule, attrs, false);
        } catch (const GraphError& error) {
            if (error.trouble != Trouble::unsupported) refuse(graph->label(number) + ": " + error.what());
            node.unsupported = error.what();
        }
    }

    std::shared_ptr<const Branches> read_branches(const Node& node, const Json& attrs) {
        auto made = std::make_shared<Branches>();
        const char* names[2][2] = {{"true_body", "true_inputs"}, {"false_body", "false_inputs"}};
        for (int side : {0, 1}) {
            const Json& inside = member(member(attrs, names[side][0], Json::object), "body", Json::object);
            for (const Json& each : member(attrs, names[side][1], Json::list).items)
                made->inputs[side].push_back(pick(each, node.inputs.size(), "input"));
            std::set<int64_t> unique(made->inputs[side].begin(), made->inputs[side].end());
            auto body = Reader(file).read_body(inside, *graph, node.cell);
            if (unique.size() != made->inputs[side].size() || unique.size() != body->captures.size())
                refuse("a body and its node disagree about captures");
            made->body[side] = std::move(body);
        }
        for (const Json& each : member(attrs, "writes", Json::list).items) {
            if (each.kind != Json::list || each.items.size() != 2) refuse("a cond writes nothing that can be written");
            made->writes.emplace_back(pick(each.items[0], node.inputs.size(), "input"),
                                      pick(each.items[1], node.types.size(), "output"));
        }
        made->recompute = member(attrs, "recompute", Json::boolean).number != 0;
        return made;
    }

    // A cond, once all types are known.
    void check_branches(int32_t number) const {
        const Node& node = graph->nodes[number];
        auto wrong = [&](const char* why) { refuse(graph->label(number) + " " + why); };
        for (const Input& each : node.inputs)
            if (each.kind != Input::tensor) wrong("has an input that is no tensor");
        auto source = [&](int64_t place) -> const Node& { return graph->nodes[node.inputs[place].node]; };
        auto type = [&](int64_t place) -> const Type& {
            return graph->type({node.inputs[place].node, node.inputs[place].index});
        };
        if (node.inputs.empty() || type(0).dtype != DType::b1 || (type(0).ranked && !type(0).shape.empty()))
            wrong("has no predicate");
        for (int side : {0, 1}) {
            const Graph& body = *node.branches->body[side];
            for (size_t k = 0; k < body.captures.size(); k++) {
                const Node& inside = body.nodes[body.captures[k]];
                Type both = inside.types[0];
                const Type& outside = type(node.branches->inputs[side][k]);
                if (both.dtype != outside.dtype || inside.writable != source(node.branches->inputs[side][k]).writable)
                    wrong("captures what is of another kind");
            }
            size_t tensors = 0;
            for (Ref each : body.outputs) {
                if (each.index < 0) continue;
                if (tensors >= node.types.size() || body.type(each).dtype != node.types[tensors].dtype)
                    wrong("has other outputs than its bodies");
                tensors++;
            }
            if (tensors != node.types.size()) wrong("has other outputs than its bodies");
        }
        for (auto& each : node.branches->writes)
            if (!source(each.first).writable || type(each.first).dtype != node.types[each.second].dtype)
                wrong("writes what is not a variable");
    }

    Input input(const Json& value, Node& node) const {
        Input made;
        if (value.kind == Json::null) return made;
        if (value.kind == Json::list) {
            if (value.items.size() != 2) refuse("an input is not a pair of node and output");
            made.kind = Input::tensor;
            made.node = pick(value.items[0], graph->nodes.size(), "node");
            made.index = pick(value.items[1], graph->nodes[made.node].types.size(), "output");
            return made;
        }
        made.kind = Input::number;
        if (value.kind == Json::boolean) made.number_ = {Number::boolean, value.number, 0};
        else if (value.kind == Json::integer) made.number_ = {Number::integer, value.number, 0};
        else if (value.kind == Json::real_number) made.number_ = {Number::real, 0, value.real};
        else if (value.kind == Json::large) node.unsupported = "a number in it does not fit 64 bits";
        else refuse("an input is neither a tensor nor a number");
        return made;
    }

    void source(Node& node, const Json& attrs) {
        if (node.types.size() != 1) refuse(shown(node.name) + " has not one output");
        if (node.op == "placeholder") return;
        if ((node.op == "capture") != in_body && (node.op == "capture" || node.variable()))
            refuse(shown(node.name) + " is a source that cannot be here");
        if (node.op == "capture") {
            node.writable = member(attrs, "variable", Json::boolean).number != 0;
            return;
        }
        const Json* value = attrs.find("value");
        if (value) node.value = array(*value);
        if (node.variable()) {
            const Json* trainable = attrs.find("trainable");
            node.trainable = trainable && trainable->number;
            node.writable = true;
            if (!node.types[0].known()) refuse("variable " + shown(node.name) + " has no known shape");
            if (!variables.insert(node.name).second) refuse("variable " + shown(node.name) + " is there twice");
        } else if (!node.value && node.unsupported.empty()) {
            refuse("constant " + shown(node.name) + " has no value");
        }
    }

    // Program order: by position of the cell, then as they stand.
    void set_order() {
        std::vector<int32_t> sorted(graph->nodes.size());
        for (size_t k = 0; k < sorted.size(); k++) sorted[k] = static_cast<int32_t>(k);
        std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) { return place[a] < place[b]; });
        for (size_t k = 0; k < sorted.size(); k++) graph->order[sorted[k]] = static_cast<int32_t>(k);
    }

    void check(int32_t number) const {
        Node& node = graph->nodes[number];
        if (!node.unsupported.empty()) return;
        auto like = [&](const Type& type, const Spec& spec) {
            Type other{spec.dtype, Shape(spec.shape, spec.shape + spec.rank), true};
            return type.dtype == spec.dtype && type.known() && type.shape == other.shape;
        };
        if (node.source()) {
            bool fits = node.op == "placeholder" || node.op == "capture";
            if (!fits && node.value) fits = node.inputs.empty() && like(node.types[0], node.value->spec);
            else if (!fits) fits = node.inputs.size() == 1 && node.inputs[0].kind == Input::tensor;
            if (fits && node.variable() && !node.value) {
                const Type& init = graph->type({node.inputs[0].node, node.inputs[0].index});
                fits = init.dtype == node.types[0].dtype && init.known() && init.shape == node.types[0].shape;
            }
            if (!fits) refuse("the value of " + graph->label(number) + " is not like the node");
            return;
        }
        if (node.branches) {
            check_branches(number);
            return;
        }
        if (node.rule->writes) {
            bool good = !node.inputs.empty() && node.inputs[0].kind == Input::tensor;
            const Node* target = good ? &graph->nodes[node.inputs[0].node] : nullptr;
            if (!target || !target->writable) refuse(graph->label(number) + " writes what is not a variable");
        }
        std::vector<Operand> operands;
        for (const Input& each : node.inputs) {
            if (each.kind == Input::tensor && !graph->nodes[each.node].unsupported.empty() && each.node != number)
                if (graph->nodes[each.node].unsupported.find("float16") != std::string::npos) {
                    node.unsupported = "float16 has no native kernels";
                    return;
                }
            operands.push_back(graph->operand(each));
        }
        try {
            std::vector<Type> found = infer(*node.rule, operands, node.attrs);
            bool same = found.size() == node.types.size();
            for (size_t k = 0; same && k < found.size(); k++) {
                Type both = found[k];
                same = found[k].dtype == node.types[k].dtype && unify(both, node.types[k]);
            }
            if (!same) refuse("the outputs of " + graph->label(number) + " are not what its op gives");
        } catch (const GraphError& error) {
            if (error.trouble == Trouble::file) throw;
            if (error.trouble != Trouble::unsupported) refuse(graph->label(number) + ": " + error.what());
            node.unsupported = error.what();
        }
    }

    // Following the links to forward nodes ends.
    void check_forward() const {
        std::vector<uint8_t> state(graph->nodes.size());
        std::vector<int32_t> path;
        for (size_t k = 0; k < state.size(); k++) {
            int32_t at = static_cast<int32_t>(k);
            path.clear();
            while (at >= 0 && !state[at]) {
                state[at] = 1;
                path.push_back(at);
                at = graph->nodes[at].forward;
            }
            if (at >= 0 && state[at] == 1) refuse(graph->label(at) + " is a backward node of itself");
            for (int32_t each : path) state[each] = 2;
        }
    }

    void read_values() {
        const Json* saved = file.document.find("variables");
        if (!saved || saved->kind == Json::null) return;
        if (saved->kind != Json::object) refuse("its table of variables is damaged");
        for (auto& [name, place_] : saved->members) {
            auto found = place_.kind == Json::string ? file.arrays.find(place_.text) : file.arrays.end();
            if (found == file.arrays.end() || !variables.count(name)) refuse("its table of variables is damaged");
            graph->initial[name] = found->second;
        }
        for (const Node& node : graph->nodes) {
            if (!node.variable()) continue;
            auto value = graph->initial.find(node.name);
            if (value == graph->initial.end()) refuse("its table of variables lacks " + shown(node.name));
            const Spec& spec = value->second->spec;
            if (spec.dtype != node.types[0].dtype || Shape(spec.shape, spec.shape + spec.rank) != node.types[0].shape)
                refuse("the saved value of " + shown(node.name) + " is not like the variable");
        }
    }

    bool in_body = false;
    const Container& file;
    std::shared_ptr<Graph> graph;
    std::vector<int64_t> positions, place;
    std::vector<int32_t> cell_of;
    std::set<std::pair<int32_t, std::string>> taken;
    std::set<std::string> variables;
};

}  // namespace

std::shared_ptr<Graph> graph_from(const Container& file) {
    try {
        return Reader(file).read();
    } catch (const GraphError& error) {
        if (error.trouble == Trouble::file || error.trouble == Trouble::unsupported) throw;
        refuse(error.what());
    }
}

std::shared_ptr<Graph> load_graph(const std::string& path) {
    Container file = read_container(path, "graph");
    try {
        return graph_from(file);
    } catch (const GraphError& error) {
        throw GraphError(error.trouble, path + ": " + error.what());
    }
}

}  // namespace fb::graph
