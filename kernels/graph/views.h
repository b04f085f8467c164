// Ops that only look at memory in another way.
#pragma once

#include "graph/types.h"

namespace fb::graph {

struct View {
    Spec spec;           // with strides of its own
    int64_t offset = 0;  // in elements, from the source's first
};

// Whether an op is one of them; `needs_rows`: it wants its input without gaps.
bool is_view(const std::string& op, bool& needs_rows);
// The outputs as parts of x, for attributes that the op's rule has accepted.
std::vector<View> views_of(const std::string& op, const Attrs& attrs, const Spec& x, const std::vector<Type>& outputs);

}  // namespace fb::graph
