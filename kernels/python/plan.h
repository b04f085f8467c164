// `Plan`: what Python hands to the native executor.
#pragma once

#include "python/common.h"
#include "runtime/executor.h"

#include <optional>

namespace fb::py {

struct NativePlan {
    std::unique_ptr<fb::Plan> plan;
    std::vector<int32_t> externals;                    // slots that each run is given, in order
    std::vector<std::pair<int32_t, Ref>> constants;    // arrays, by slot
    std::vector<int32_t> origin;                       // by step: which of Python's steps it is, or belongs to
    std::vector<bool> kept;                            // by slot: whether it is asked for when the run has ended
    size_t host_slots = 0;                             // that `values` has to have: those of the host's steps
};

struct PlanObject {
    PyObject_HEAD
    NativePlan* native;
};

extern PyTypeObject PlanType;

// What a run leaves for its updates.
struct Ended {
    std::optional<Arena> arena;
    std::vector<void*> pointers;  // by slot
    std::vector<Ref> held;        // that pointers lead to
};

// Runs a plan: `externals` by place (any objects NumPy makes arrays of), `perform` and `values` for its host steps.
// The results, fresh arrays, in `results`. A plan with updates needs `ended`.
void run_plan(const NativePlan& native, PyObject* const* externals, PyObject* perform, PyObject* values, int threads,
              uint32_t run, std::vector<Ref>& results, Ended* ended = nullptr);

}  // namespace fb::py
