// A plan in the making, which passes rewrite.
#pragma once

#include "graph/elementwise.h"
#include "graph/lower.h"

namespace fb::graph {

// The kernel of a step. Without a name: views, groups, choices, and kernels that are no other step's.
struct Called {
    std::string name;
    Attrs attrs;
};

struct Draft {
    Outline outline;
    std::shared_ptr<Recipe> recipe = std::make_shared<Recipe>();
    std::vector<Called> calls;        // by step
    std::map<int32_t, Piece> pieces;  // the steps that are elementwise

    int32_t count() const { return static_cast<int32_t>(outline.steps.size()); }
    std::vector<int32_t> makers() const;  // by slot: the step that makes it, or -1
    std::vector<bool> awaited() const;    // by step: whether others wait for it although no value flows

    // Adds a step at the end, for a pass to put in its place.
    int32_t append(Step step, Called called, int32_t node);
    // Puts steps in another order. What waits for one that is not in it waits for `instead` of it, if that is not -1.
    void arrange(const std::vector<int32_t>& order, const std::vector<int32_t>& instead);
    // Forgets constants that no step reads.
    void drop_constants();
};

}  // namespace fb::graph
