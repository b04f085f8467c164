// Spec rules: what an op makes of its inputs' dtypes and shapes, as flowbook/ops declares it. They work for open sizes,
// when a graph is built, and for concrete ones, when it is lowered.
#pragma once

#include "graph/types.h"

namespace fb::graph {

// What a rule is given.
struct Call {
    const std::vector<Operand>& inputs;
    const Attrs& attrs;

    size_t count() const { return inputs.size(); }
    const Operand& input(size_t k) const;
    // An input that has to be a tensor.
    const Type& tensor(size_t k) const;
    bool is_number(size_t k) const { return input(k).kind == Operand::number; }
    // A number as a type without axes.
    Type type(size_t k) const;

    // Attributes. A missing one, or one of another kind, is an error.
    bool none(const char* name) const { return !attrs.find(name); }
    bool flag(const char* name) const;
    // Sorted, and each once; None names all axes.
    std::vector<int> axes(const char* name, int rank) const;
};

using Rule = std::vector<Type> (*)(const Call&);

struct OpRule {
    const char* name;
    int least, most;        // inputs; most is -1 where any number will do
    const char* attributes; // a JSON object of defaults; "!" stands for one that has to be given
    Rule rule;
    bool broadcasts = false;  // numbers become arrays of the common dtype
    bool writes = false;      // input 0 is a variable
};

// The rule of an op, or nullptr for an op that is not known here.
const OpRule* find_rule(const std::string& op);
std::vector<std::string> rule_names();

// The types of the outputs; GraphError for inputs or attributes that do not fit.
std::vector<Type> infer(const OpRule& op, const std::vector<Operand>& inputs, const Attrs& attrs);

// The tables of the files rules_*.cpp, each ended by a row without a name.
extern const OpRule elementwise_rules[], shape_rules[], joining_rules[], network_rules[],
    attention_rules[];

// ------------------------------------------------------------------------------------------------ for the rules

constexpr int64_t most_outputs = 1 << 16;

Shape reduced(const Call& call, const Type& x);
Type broadcast_of(const Call& call, size_t first = 0);
void need_kind(const Call& call, size_t k, const char* kinds, const char* what);
void need_number(DType dtype);

// ------------------------------------------------------------------------------------------------ basic indices

// What an index takes of an array: a start, a step and a count for each of its axes, and which axes are left.
struct Taken {
    std::vector<int64_t> first, step;
    Shape count;            // by axis of the array
    Shape shape;            // of what is taken
    std::vector<int> axis;  // of the array, for each axis of that; -1 for a new one
};
Taken read_index(const Attr& index, const Shape& shape);
// The two widths for each axis.
std::vector<std::pair<int64_t, int64_t>> pad_widths(const Attr& width, int rank);
// Edges of the parts of a split: one more than there are parts. Empty when the size is open and decides.
std::vector<int64_t> split_edges(const Attr& cuts, int64_t size);

}  // namespace fb::graph
