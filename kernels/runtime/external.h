// Operators that a user wrote, in libraries of their own: see include/flowbook_op.h.
#pragma once

#include "runtime/kernel.h"

namespace fb {

// Loads operator `op` of the library at `path` and adds it to `Library` under the name that is returned, which no other
// operator has: one that is loaded from another path never takes its place. Libraries stay loaded, as plans may hold
// their kernels. Raises Error with what is wrong with the library.
//
// The attribute `nanoseconds_attribute`, if there is one, is the estimated time of a call; operators do not see it.
std::string load_external(const std::string& path, const std::string& op);

constexpr const char* nanoseconds_attribute = "flowbook:nanoseconds";

}  // namespace fb
