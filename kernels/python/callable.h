#pragma once

#include "python/common.h"

namespace fb::py {

extern PyTypeObject CallableType;

// Makes the attribute names it looks up; false, with a Python error, when that fails.
bool prepare_callable();

}  // namespace fb::py
