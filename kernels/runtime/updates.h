// Which steps of a run may be left for its end, to write variables in the memory of their old values.
#pragma once

#include "runtime/plan.h"

#include <unordered_map>

namespace fb {

// Moves to the updates those steps that only make new values of variables, which nothing waits for, and whose kernels
// cannot fail and may write where the old values lie. `old`: by slot of a new value that nobody asks for, the slot of
// the old one. Returns, by place in the plan (its steps, then its updates), the place in the outline until now.
std::vector<int32_t> leave_updates(Outline& outline, const std::unordered_map<int32_t, int32_t>& old);

}  // namespace fb
