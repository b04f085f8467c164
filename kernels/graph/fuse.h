// Elementwise fusion: neighbours that walk over one shape become one step that passes over memory once. The twin of
// flowbook/compile/fuse.py, which says how groups are found.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

void fuse(Draft& draft);

}  // namespace fb::graph
