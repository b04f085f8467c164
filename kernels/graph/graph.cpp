#include "graph/graph.h"

#include <algorithm>
#include <mutex>
#include <queue>

namespace fb::graph {

namespace {

// A text with something to see, on one line.
bool is_name(const std::string& name) {
    bool visible = false;
    for (char c : name) {
        unsigned char u = static_cast<unsigned char>(c);
        if (u < 0x20 || u == 0x7f) return false;
        visible = visible || u != ' ';
    }
    return visible && name.size() <= 100000;
}

Attr attr_at(const Json& value, int depth) {
    Attr a;
    switch (value.kind) {
        case Json::null: break;
        case Json::boolean:
        case Json::integer:
            a.kind = Attr::integer;
            a.i = {value.number};
            break;
        case Json::real_number:
            a.kind = Attr::real;
            a.r = {value.real};
            break;
        case Json::string:
            a.kind = Attr::text;
            a.s = value.text;
            break;
        case Json::list: {
            bool whole = true, numbers = true;
            for (const Json& each : value.items) {
                bool integer = each.kind == Json::integer || each.kind == Json::boolean;
                whole = whole && integer;
                numbers = numbers && (integer || each.kind == Json::real_number);
            }
            a.kind = !numbers ? Attr::list : whole ? Attr::integers : Attr::reals;
            for (const Json& each : value.items) {
                if (!numbers) a.items.push_back(attr_at(each, depth + 1));
                else if (whole) a.i.push_back(each.number);
                else a.r.push_back(each.kind == Json::real_number ? each.real : static_cast<double>(each.number));
            }
            break;
        }
        default: unsupported("an attribute is no plain value of at most 64 bits");
    }
    return a;
}

}  // namespace

Attr attr_from(const Json& value) { return attr_at(value, 0); }

Attrs attributes_of(const OpRule& op, const Json& given, bool defaults) {
    if (given.kind != Json::object) bad_graph("attributes are a JSON object");
    Json declared = parse_json(op.attributes);
    Attrs found;
    size_t used = 0;
    for (auto& [name, otherwise] : declared.members) {
        const Json* value = given.find(name);
        if (value) used++;
        else if (!defaults || otherwise.text == "!")
            bad_graph("attribute '" + name + "' of " + op.name + " is missing");
        found.all[name] = attr_from(value ? *value : otherwise);
    }
    if (used != given.members.size())
        for (auto& each : given.members)
            if (!declared.find(each.first)) bad_graph(std::string(op.name) + " has no attribute " + shown(each.first));
    return found;
}

Operand Graph::operand(const Input& input) const {
    if (input.kind == Input::none) return {};
    if (input.kind == Input::number) return input.number_;
    return nodes[input.node].types[input.index];
}

std::string Graph::label(int32_t node) const {
    const Node& each = nodes[node];
    std::string where = cells[each.cell].empty() ? "" : " of cell " + shown(cells[each.cell]);
    return each.op + " " + shown(each.name) + where;
}

void Graph::check_name(const std::string& name) const {
    if (!is_name(name)) bad_argument(shown(name) + " is not a name");
    auto found = by_name.find(name);
    if (found == by_name.end()) return;
    for (int32_t node : found->second)
        if (nodes[node].cell == 0) bad_argument(shown(name) + " is there already");
}

std::string Graph::fresh(const std::string& name, const std::string& op) {
    if (!name.empty()) {
        check_name(name);
        return name;
    }
    for (;;) {
        std::string made = op + "_" + std::to_string(++counters[op]);
        if (!by_name.count(made)) return made;
    }
}

int32_t Graph::append(Node node) {
    int32_t number = static_cast<int32_t>(nodes.size());
    if (nodes.size() >= INT32_MAX / 2) bad_graph("the graph has too many nodes");
    nodes.push_back(std::move(node));
    order.push_back(number);
    by_name[nodes.back().name].push_back(number);
    return number;
}

int32_t Graph::add(const std::string& op, const std::string& name, std::vector<Input> inputs, Attrs attrs,
                   std::vector<int32_t> controls) {
    Node node;
    node.op = op;
    node.rule = find_rule(op);
    if (!node.rule) bad_argument("no op that can be added is called " + shown(op));
    bool tensors = inputs.empty();
    for (const Input& each : inputs) {
        if (each.kind != Input::tensor) continue;
        tensors = true;
        if (each.node < 0 || each.node >= static_cast<int32_t>(nodes.size()))
            bad_argument("an input is no tensor of this graph");
        if (each.index < 0 || each.index >= static_cast<int32_t>(nodes[each.node].types.size()))
            bad_argument(label(each.node) + " has no output " + std::to_string(each.index));
    }
    for (int32_t each : controls)
        if (each < 0 || each >= static_cast<int32_t>(nodes.size()))
            bad_argument("a control input is no node of this graph");
    if (!tensors) {  // numbers alone decide no dtype: they become constants
        for (Input& each : inputs) {
            if (each.kind != Input::number) continue;
            auto array = std::make_shared<Array>(make_spec(weak_dtype(each.number_), {}));
            if (each.number_.kind == Number::real)
                *static_cast<float*>(array->data) = static_cast<float>(each.number_.r);
            else if (each.number_.kind == Number::integer) *static_cast<int64_t*>(array->data) = each.number_.i;
            else *static_cast<uint8_t*>(array->data) = each.number_.i != 0;
            each = {Input::tensor, constant("", array), 0, {}};
        }
    }
    if (node.rule->writes && (inputs.empty() || inputs[0].kind != Input::tensor || !nodes[inputs[0].node].variable()))
        bad_argument(op + " writes a variable");
    std::vector<Operand> operands;
    for (const Input& each : inputs) operands.push_back(operand(each));
    try {
        node.types = infer(*node.rule, operands, attrs);
    } catch (const GraphError& error) {
        std::string what;
        for (const Operand& each : operands)
            what += (what.empty() ? "" : ", ") +
                    (each.kind == Operand::tensor ? text_of(each.type) : std::string("a number"));
        throw GraphError(error.trouble, op + (name.empty() ? "" : " " + shown(name)) + ": " + error.what() +
                                            (what.empty() ? "" : " (inputs: " + what + ")"));
    }
    node.name = fresh(name, op);
    node.inputs = std::move(inputs);
    node.attrs = std::move(attrs);
    node.controls = std::move(controls);
    return append(std::move(node));
}

int32_t Graph::placeholder(const std::string& name, DType dtype, Shape shape) {
    check_shape(shape);
    Node node;
    node.op = "placeholder";
    node.name = fresh(name, node.op);
    node.types = {{dtype, std::move(shape), true}};
    return append(std::move(node));
}

int32_t Graph::constant(const std::string& name, SharedArray value) {
    Node node;
    node.op = "constant";
    node.name = fresh(name, node.op);
    const Spec& s = value->spec;
    node.types = {{s.dtype, Shape(s.shape, s.shape + s.rank), true}};
    node.value = std::move(value);
    return append(std::move(node));
}

int32_t Graph::variable(const std::string& name, SharedArray value, bool trainable) {
    if (auto found = by_name.find(name); found != by_name.end())
        for (int32_t node : found->second)
            if (nodes[node].variable()) bad_argument("a variable " + shown(name) + " is there already");
    Node node;
    node.op = "variable";
    node.name = fresh(name, node.op);
    const Spec& s = value->spec;
    node.types = {{s.dtype, Shape(s.shape, s.shape + s.rank), true}};
    node.value = std::move(value);
    node.trainable = trainable;
    node.writable = true;
    return append(std::move(node));
}

Dim Graph::named(const std::string& name) {
    if (!is_name(name)) bad_argument(shown(name) + " is not the name of a dimension");
    return dim_names.emplace(name, -2 - static_cast<Dim>(dim_names.size())).first->second;
}

std::string Graph::dim_name(Dim dim) const {
    for (auto& each : dim_names)
        if (each.second == dim) return each.first;
    return "";
}

Ref Graph::find(const char* cell, const std::string& name) const {
    auto lookup = [&](const std::string& wanted) {
        std::vector<int32_t> all;
        if (auto found = by_name.find(wanted); found != by_name.end())
            for (int32_t node : found->second)
                if (!cell || cells[nodes[node].cell] == cell) all.push_back(node);
        return all;
    };
    std::vector<int32_t> found = lookup(name);
    int64_t index = 0;
    size_t colon = name.rfind(':');
    size_t digits = colon == std::string::npos ? 0 : name.size() - colon - 1;
    if (found.empty() && digits > 0 && digits < 6 && colon > 0 &&
        name.find_first_not_of("0123456789", colon + 1) == std::string::npos) {
        found = lookup(name.substr(0, colon));
        index = std::stoll(name.substr(colon + 1));
    }
    if (found.empty()) bad_argument("nothing in the graph is called " + shown(name));
    if (found.size() > 1) bad_argument(shown(name) + " is in several cells");
    int64_t outputs = static_cast<int64_t>(nodes[found[0]].types.size());
    if (index > 0 && index >= outputs) bad_argument(label(found[0]) + " has no output " + std::to_string(index));
    return {found[0], static_cast<int32_t>(index)};
}

// Program order decides among those that are ready. Linear where program order works already.
std::vector<int32_t> topological(const Graph& graph, std::vector<int32_t> nodes,
                                 const std::function<void(int32_t, std::vector<int32_t>&)>& before) {
    std::sort(nodes.begin(), nodes.end(), [&](int32_t a, int32_t b) { return graph.order[a] < graph.order[b]; });
    std::unordered_map<int32_t, int32_t> position;
    for (size_t k = 0; k < nodes.size(); k++) position[nodes[k]] = static_cast<int32_t>(k);
    std::vector<std::vector<int32_t>> after(nodes.size());
    std::vector<int32_t> waiting(nodes.size()), inputs;
    bool works = true;
    for (size_t k = 0; k < nodes.size(); k++) {
        inputs.clear();
        before(nodes[k], inputs);
        std::sort(inputs.begin(), inputs.end());
        inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
        for (int32_t each : inputs) {
            auto found = position.find(each);
            if (found == position.end()) continue;
            after[found->second].push_back(static_cast<int32_t>(k));
            waiting[k]++;
            works = works && found->second < static_cast<int32_t>(k);
        }
    }
    if (works) return nodes;
    std::priority_queue<int32_t, std::vector<int32_t>, std::greater<int32_t>> ready;
    for (size_t k = 0; k < nodes.size(); k++)
        if (!waiting[k]) ready.push(static_cast<int32_t>(k));
    std::vector<int32_t> found;
    while (!ready.empty()) {
        int32_t k = ready.top();
        ready.pop();
        found.push_back(nodes[k]);
        for (int32_t other : after[k])
            if (--waiting[other] == 0) ready.push(other);
    }
    if (found.size() != nodes.size()) {
        for (size_t k = 0; k < nodes.size(); k++)
            if (waiting[k]) bad_graph(graph.label(nodes[k]) + " is part of a cycle");
    }
    return found;
}

}  // namespace fb::graph
