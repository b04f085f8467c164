// Common subexpressions: what several steps would compute alike is computed once.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

// Merges steps with the same kernel, attributes (to the bit) and inputs, and equal views. Steps without a name stay,
// and so do those that wait for others. Returns, by slot, the one that has its value now.
std::vector<int32_t> merge_equal(Draft& draft);

}  // namespace fb::graph
