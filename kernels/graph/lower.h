// From a graph to a plan, for some fetches and feeds of concrete shapes: the twin of flowbook/compile/lower.py and
// flowbook/runtime/engine.py.
#pragma once

#include "graph/graph.h"
#include "runtime/plan.h"

namespace fb::graph {

// Numbers that are drawn before a run.
struct Draw {
    int32_t slot, node;
};

struct Recipe;

// A step of a cond: one of two recipes, chosen when it runs.
struct Choice {
    int32_t node, predicate;
    std::shared_ptr<const Recipe> recipe[2];
    std::vector<int32_t> inputs[2];  // slots of what each is fed
    std::vector<int32_t> outputs;    // slots that it fills
};

struct Recipe {
    std::unique_ptr<Plan> plan;
    std::vector<std::pair<int32_t, SharedArray>> constants;  // by slot
    std::vector<int32_t> feeds;                              // slots, in the order of the feeds
    std::vector<std::pair<int32_t, int32_t>> states;         // slot and variable
    std::vector<Draw> draws;
    std::vector<std::pair<int32_t, int32_t>> writes;  // variable, and which of the plan's results is its new value
    std::vector<int32_t> updates;                     // by state of the plan: which of `states` has the old value
    std::vector<int32_t> fetches;                     // which of the plan's results; -1 for a node without outputs
    std::map<int32_t, Choice> choices;                // by step of the plan
    std::vector<int32_t> nodes;                       // of the plan's steps; -1 for a copy
};

// Raises GraphError for a placeholder without a feed, shapes that do not fit, and what has no native kernel.
std::shared_ptr<const Recipe> lower(const Graph& graph, const std::vector<Ref>& fetches,
                                    const std::vector<std::pair<Ref, Type>>& feeds);

}  // namespace fb::graph
