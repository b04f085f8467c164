// Products made cheaper by what stands around them, to the same bytes: added to a matrix as they are made, and right
// operands that many share packed once. The twin of flowbook/compile/products.py, which says when.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

void add_products(Draft& draft);
void pack_operands(Draft& draft);

}  // namespace fb::graph
