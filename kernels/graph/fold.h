// Constant folding: what depends on constants only is computed once, when a plan is made.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

// Runs such steps and makes constants of their results, but large ones. One that fails is left for the run, which says
// so. Steps without a name stay, and so do those that wait for others.
void fold(Draft& draft);

}  // namespace fb::graph
