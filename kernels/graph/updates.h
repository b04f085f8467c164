// Writes of variables that a session makes when a run has succeeded, in the memory of the old values.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

// Moves the steps that may be late to the end; what they make is no result any more. The last pass.
void leave_updates(Draft& draft);

}  // namespace fb::graph
