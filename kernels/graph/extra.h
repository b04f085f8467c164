// Kernels of ops that the libraries for each CPU do not have.
#pragma once

#include "graph/types.h"
#include "runtime/kernel.h"

namespace fb::graph {

// Inputs without gaps, of the shape and dtype of the output. nullptr for an op that has none here.
std::shared_ptr<const Kernel> extra_kernel(const std::string& op, const Attrs& attrs, const Spec& output);

}  // namespace fb::graph
