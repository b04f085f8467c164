// Writing graphs, as flowbook/graph/serialize.py does.
#include "graph/graph.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace fb::graph {

namespace {

std::string text_of(double number) {
    if (std::isnan(number)) return R"({"$float":"nan"})";
    if (std::isinf(number)) return number > 0 ? R"({"$float":"inf"})" : R"({"$float":"-inf"})";
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", number);
    std::string made = text;
    std::replace(made.begin(), made.end(), ',', '.');  // of some locales
    return made.find_first_of(".e") == std::string::npos ? made + ".0" : made;
}

// Items in brackets.
template <class C, class F> std::string list(const C& items, F&& text) {
    std::string made;
    for (auto& each : items) made += (made.empty() ? "" : ",") + text(each);
    return "[" + made + "]";
}

std::string text_of(const Attr& attr, bool flag) {
    auto whole = [](int64_t n) { return std::to_string(n); };
    switch (attr.kind) {
        case Attr::integer: return flag ? attr.i[0] ? "true" : "false" : whole(attr.i[0]);
        case Attr::real: return text_of(attr.r[0]);
        case Attr::text: return quoted(attr.s);
        case Attr::integers: return list(attr.i, whole);
        case Attr::reals: return list(attr.r, [](double each) { return text_of(each); });
        case Attr::list: return list(attr.items, [](const Attr& each) { return text_of(each, false); });
        default: return "null";
    }
}

std::string text_of(const Number& number) {
    if (number.kind == Number::real) return text_of(number.r);
    return number.kind == Number::integer ? std::to_string(number.i) : number.i ? "true" : "false";
}

class Writer {
  public:
    explicit Writer(const Graph& graph) : graph(graph), sorted(graph.nodes.size()) {
        if (graph.cells.size() > 1) unsupported("a graph of several cells is saved by Python only");
        for (size_t k = 0; k < sorted.size(); k++) sorted[graph.order[k]] = static_cast<int32_t>(k);
    }

    void write(const std::map<int32_t, SharedArray>* values, const std::string& path) {
        std::string nodes = list(sorted, [this](int32_t each) { return node(each); });
        std::string cells = R"([{"name":"","position":0,"scopes":{}}])", table = "null";
        if (values) {
            table.clear();
            for (int32_t each : sorted) {
                if (!graph.nodes[each].variable()) continue;
                auto value = values->find(each);
                const SharedArray& now = value == values->end() ? graph.nodes[each].value : value->second;
                if (!now) bad_graph(graph.label(each) + " has no value yet");
                table += (table.empty() ? "" : ",") + quoted(graph.nodes[each].name) + ":" + quoted(array(now));
            }
            table = "{" + table + "}";
        }
        std::string document = "{\"graph\":{\"seed\":" + graph.seed + ",\"cells\":" + cells + ",\"nodes\":" + nodes +
                               "},\"variables\":" + table + "}";
        write_container(path, "graph", document, arrays);
    }

  private:
    std::string array(const SharedArray& value) {
        arrays.emplace_back(std::to_string(arrays.size()), value);
        return arrays.back().first;
    }
    std::string shape(const Type& type) const {
        if (!type.ranked) return "null";
        return list(type.shape, [this](Dim dim) {
            return dim >= 0 ? std::to_string(dim) : dim == open ? "null" : quoted(graph.dim_name(dim));
        });
    }
    std::string place(int32_t number) const { return std::to_string(graph.order[number]); }

    std::string input(const Input& each) const {
        if (each.kind == Input::none) return "null";
        if (each.kind == Input::number) return text_of(each.number_);
        return "[" + place(each.node) + "," + std::to_string(each.index) + "]";
    }

    std::string attributes(const Node& each) {
        if (!each.source()) {
            Json declared = parse_json(each.rule->attributes);
            return "{" + inside(declared.members, [&](auto& member) {
                       bool flag = member.second.kind == Json::boolean;
                       return quoted(member.first) + ":" + text_of(each.attrs.all.at(member.first), flag);
                   }) + "}";
        }
        std::string value = each.value ? "{\"array\":" + quoted(array(each.value)) + "}" : "null";
        if (each.op == "constant") return "{\"value\":" + value + "}";
        const Type& type = each.types[0];
        std::string made = "{\"shape\":" + shape(type) + ",\"dtype\":" + quoted(name_of(type.dtype));
        if (each.variable())
            made += std::string(",\"trainable\":") + (each.trainable ? "true" : "false") + ",\"value\":" + value;
        return made + "}";
    }

    template <class C, class F> static std::string inside(const C& items, F&& text) {
        std::string made = list(items, text);
        return made.substr(1, made.size() - 2);
    }

    std::string node(int32_t number) {
        const Node& each = graph.nodes[number];
        if (!each.unsupported.empty() || (!each.source() && !each.rule))
            unsupported(graph.label(number) + " can be saved by Python only");
        auto spec = [this](const Type& type) { return "[" + quoted(name_of(type.dtype)) + "," + shape(type) + "]"; };
        std::string made = "{\"cell\":0,\"name\":" + quoted(each.name) + ",\"op\":" + quoted(each.op) +
                           ",\"inputs\":" + list(each.inputs, [this](const Input& i) { return input(i); }) +
                           ",\"attrs\":" + attributes(each) + ",\"specs\":" + list(each.types, spec);
        auto to_place = [this](int32_t other) { return place(other); };
        if (!each.controls.empty()) made += ",\"controls\":" + list(each.controls, to_place);
        if (each.forward >= 0) made += ",\"forward\":" + place(each.forward);
        return made + "}";
    }

    const Graph& graph;
    std::vector<int32_t> sorted;  // in program order
    Arrays arrays;
};

}  // namespace

void save_graph(const Graph& graph, const std::map<int32_t, SharedArray>* values, const std::string& path) {
    Writer(graph).write(values, path);
}

}  // namespace fb::graph
