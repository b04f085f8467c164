#include "graph/rules.h"

#include <algorithm>
#include <unordered_map>

namespace fb::graph {

const Operand& Call::input(size_t k) const {
    if (k >= inputs.size()) bad_graph("an input is missing");
    return inputs[k];
}

const Type& Call::tensor(size_t k) const {
    const Operand& each = input(k);
    if (each.kind != Operand::tensor) bad_graph("input " + std::to_string(k) + " has to be a tensor");
    return each.type;
}

Type Call::type(size_t k) const {
    const Operand& each = input(k);
    if (each.kind == Operand::none) bad_graph("input " + std::to_string(k) + " is missing");
    return each.kind == Operand::tensor ? each.type : Type{weak_dtype(each.number_), {}, true};
}

bool Call::flag(const char* name) const {
    int64_t value = attrs.integer(name);
    if (value != 0 && value != 1) bad_graph(std::string(name) + " has to be true or false");
    return value != 0;
}

std::vector<int> Call::axes(const char* name, int rank) const {
    std::vector<int> found;
    if (none(name)) {
        for (int i = 0; i < rank; i++) found.push_back(i);
        return found;
    }
    std::vector<int64_t> given = attrs.integers(name);
    if (given.size() > static_cast<size_t>(rank)) bad_graph(std::string(name) + " names an axis twice");
    for (int64_t axis : given) found.push_back(normal_axis(axis, rank));
    std::sort(found.begin(), found.end());
    if (std::adjacent_find(found.begin(), found.end()) != found.end())
        bad_graph(std::string(name) + " names an axis twice");
    return found;
}

const OpRule* find_rule(const std::string& op) {
    static const auto* table = [] {
        auto made = new std::unordered_map<std::string, const OpRule*>;
        for (const OpRule* rows : {elementwise_rules, shape_rules, joining_rules, network_rules, attention_rules})
            for (; rows->name; rows++) made->emplace(rows->name, rows);
        return made;
    }();
    auto found = table->find(op);
    return found == table->end() ? nullptr : found->second;
}

std::vector<std::string> rule_names() {
    std::vector<std::string> found;
    for (const OpRule* rows : {elementwise_rules, shape_rules, joining_rules, network_rules, attention_rules})
        for (; rows->name; rows++) found.push_back(rows->name);
    std::sort(found.begin(), found.end());
    return found;
}

namespace {

std::vector<Type> checked(const OpRule& op, const Call& call) {
    std::vector<Type> found = op.rule(call);
    if (static_cast<int64_t>(found.size()) > most_outputs) bad_graph("it would have too many outputs");
    for (const Type& each : found)
        if (each.ranked) check_shape(each.shape);
    return found;
}

}  // namespace

std::vector<Type> infer(const OpRule& op, const std::vector<Operand>& inputs, const Attrs& attrs) {
    int count = static_cast<int>(inputs.size());
    if (count < op.least || (op.most >= 0 && count > op.most))
        bad_graph("it has " + std::to_string(count) + " inputs, " + op.name + " takes " + std::to_string(op.least));
    try {
        return checked(op, {inputs, attrs});
    } catch (const UnknownRank&) {
    } catch (const GraphError&) {
        throw;
    } catch (const Error& error) {  // of the attributes
        bad_graph(error.what());
    }
    // Some rank is not known: a rank that the rule accepts tells the dtypes.
    for (int rank : {2, 1, 4, 3, 0, 5}) {
        std::vector<Operand> guess = inputs;
        for (Operand& each : guess)
            if (each.kind == Operand::tensor && !each.type.ranked)
                each.type = {each.type.dtype, Shape(rank, open), true};
        try {
            std::vector<Type> found = checked(op, {guess, attrs});
            for (Type& each : found) each = {each.dtype, {}, false};
            return found;
        } catch (const UnknownRank&) {
        } catch (const Error&) {
        }
    }
    bad_graph("no rank of its inputs fits");
}

Shape reduced(const Call& call, const Type& x) {
    bool keep = call.flag("keepdims");
    if (call.none("axis") && !keep) return {};
    std::vector<int> axes = call.axes("axis", x.rank());
    Shape found;
    for (int i = 0; i < x.rank(); i++) {
        bool gone = std::binary_search(axes.begin(), axes.end(), i);
        if (gone && keep) found.push_back(1);
        if (!gone) found.push_back(x.shape[i]);
    }
    return found;
}

Type broadcast_of(const Call& call, size_t first) {
    Type found{promote({call.inputs.begin() + first, call.inputs.end()}), {}, true};
    for (size_t k = first; k < call.count(); k++) {
        Type each = call.type(k);
        if (!each.ranked) found.ranked = false;
        else if (Shape before = found.shape; !broadcast(found.shape, each.shape))
            bad_graph("shapes " + text_of(before) + " and " + text_of(each.shape) +
                      " do not broadcast: sizes must be equal or 1, counted from the last axis");
    }
    if (!found.ranked) found.shape.clear();
    return found;
}

void need_kind(const Call& call, size_t k, const char* kinds, const char* what) {
    if (call.input(k).kind != Operand::tensor) return;
    DType dtype = call.inputs[k].type.dtype;
    if (!std::strchr(kinds, kind_of(dtype)))
        bad_graph(std::string(what) + " cannot be " + name_of(dtype) + "; cast it with astype");
}

void need_number(DType dtype) {
    if (dtype == DType::b1) bad_graph("this operation is not defined for bool; cast with astype");
}

}  // namespace fb::graph
