// Random numbers, the same ones that Python draws (flowbook/runtime/context.py, flowbook/ops/philox.py).
#pragma once

#include "graph/graph.h"

namespace fb::graph {

// What tells a node from all others: its cell and name; in a body its name, after the path of the node around it.
using Path = std::vector<std::string>;
Path path_of(const Graph& graph, int32_t node, const Path& around);

// The array of a random op in the run with this number.
SharedArray draw(const Graph& graph, int32_t node, const Spec& spec, uint64_t run, const Path& around);

}  // namespace fb::graph
