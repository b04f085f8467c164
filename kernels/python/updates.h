// `Updates`: what is left of a run when it has succeeded, the writes of variables in the memory of their old values.
#pragma once

#include "python/plan.h"

namespace fb::py {

extern PyTypeObject UpdatesType;

// `externals`: the list that the run was given.
Ref make_updates(PyObject* plan, std::unique_ptr<Ended> ended, Ref externals, int threads, uint32_t run);

}  // namespace fb::py
