// Elementwise fusion: neighbours that walk over one shape become one step that passes over memory once. The twin of
// flowbook/compile/fuse.py, which says how groups are found.
#pragma once

#include "graph/elementwise.h"
#include "graph/lower.h"

namespace fb::graph {

// `pieces`: the steps that may be fused.
void fuse(Outline& outline, Recipe& recipe, const std::map<int32_t, Piece>& pieces);

}  // namespace fb::graph
