// A graph: nodes in program order, added one by one or read from a file. Nodes never change once they are there.
#pragma once

#include "graph/container.h"
#include "graph/rules.h"

#include <functional>

#include <shared_mutex>
#include <unordered_map>

namespace fb::graph {

struct Input {
    enum Kind : uint8_t { none, tensor, number } kind = none;
    int32_t node = -1, index = 0;
    Number number_;
};

// Output `index` of a node; a node without outputs is meant by its output 0.
struct Ref {
    int32_t node = -1, index = 0;
    bool operator==(const Ref& other) const { return node == other.node && index == other.index; }
    bool operator<(const Ref& other) const { return node != other.node ? node < other.node : index < other.index; }
};

class Graph;

// What a cond chooses from: a body for true and one for false, and which inputs of the node are their captures.
struct Branches {
    std::shared_ptr<const Graph> body[2];
    std::vector<int64_t> inputs[2];
    std::vector<std::pair<int32_t, int32_t>> writes;  // input that is a variable, output that is its new value
    bool recompute = false;  // computes its forward node's bodies again, with the same random numbers
};

struct Node {
    std::string name, op;
    int32_t cell = 0;
    const OpRule* rule = nullptr;  // none for sources, and for what only Python can run
    std::string unsupported;       // why it cannot run here
    std::vector<Input> inputs;
    Attrs attrs;
    std::vector<Type> types;
    std::vector<int32_t> controls;
    int32_t forward = -1;  // the node whose gradient rule made this one
    SharedArray value;     // of a constant; the first one of a variable
    bool trainable = false;
    bool writable = false;  // a variable, or in a body what stands for one
    std::shared_ptr<const Branches> branches;

    bool source() const { return op == "placeholder" || op == "constant" || op == "variable" || op == "capture"; }
    bool variable() const { return op == "variable"; }
};

class Graph {
  public:
    std::vector<Node> nodes;
    std::vector<std::string> cells = {""};
    std::string seed = "0";
    std::vector<int32_t> order;  // by node: its place in program order
    std::map<std::string, SharedArray> initial;  // first values of variables that came with a file
    std::vector<Number> numbers;                 // weak numbers that callers made
    std::vector<int32_t> captures;               // of a body: what it is given
    std::vector<Ref> outputs;                    // of a body: what it computes
    mutable std::shared_mutex mutex;             // shared by runs, taken by whoever adds

    // Adds a node at the end of program order. An empty name makes one up. Raises GraphError.
    int32_t add(const std::string& op, const std::string& name, std::vector<Input> inputs, Attrs attrs,
                std::vector<int32_t> controls = {});
    int32_t placeholder(const std::string& name, DType dtype, Shape shape);
    int32_t constant(const std::string& name, SharedArray value);
    int32_t variable(const std::string& name, SharedArray value, bool trainable);

    // A dimension for a name.
    Dim named(const std::string& name);
    std::string dim_name(Dim dim) const;  // of a dimension that has one
    // "node" or "node:1"; `cell` may be nullptr. Raises GraphError when there is none, or in several cells.
    Ref find(const char* cell, const std::string& name) const;
    std::string label(int32_t node) const;  // for messages
    Operand operand(const Input& input) const;
    const Type& type(Ref ref) const { return nodes[ref.node].types[ref.index]; }

    // For the reader of files: takes a node as it is.
    int32_t append(Node node);

  private:
    std::string fresh(const std::string& name, const std::string& op);
    void check_name(const std::string& name) const;
    std::unordered_map<std::string, std::vector<int32_t>> by_name;
    std::unordered_map<std::string, int> counters;
    std::unordered_map<std::string, Dim> dim_names;
};

// An attribute from JSON, as kernels get it: lists are tuples, bools are ints. Raises GraphError for objects.
Attr attr_from(const Json& value);
// The attributes that an op declares, with its defaults for those that are missing.
Attrs attributes_of(const OpRule& op, const Json& given, bool defaults);

// The graph in the document of a file of kind "graph", checked in every respect.

std::shared_ptr<Graph> graph_from(const Container& file);
std::shared_ptr<Graph> load_graph(const std::string& path);
// Writes a file that Python and load_graph read. `values`: of variables, or nullptr. GraphError for a graph with what
// only Python knows, or of several cells.
void save_graph(const Graph& graph, const std::map<int32_t, SharedArray>* values, const std::string& path);
// All nodes in an order that works; GraphError when there is none.
std::vector<int32_t> topological(const Graph& graph, std::vector<int32_t> nodes,
                                 const std::function<void(int32_t, std::vector<int32_t>&)>& before);

}  // namespace fb::graph
