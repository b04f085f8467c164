// The values of a session's variables.
//
// Whoever takes a value has it as it was: it is never written over. A run that computes a new value where the old one
// lies asks who else has that, while nobody can take it.
#pragma once

#include "graph/lower.h"
#include "runtime/executor.h"

#include <map>
#include <mutex>
#include <optional>

namespace fb::graph {

using Values = std::map<int32_t, SharedArray>;  // by variable

// What a run has been given and made, until its updates are done.
struct Ended {
    explicit Ended(const Recipe& recipe) : recipe(recipe), pointers(recipe.plan->slots.size()) {}
    const Recipe& recipe;
    std::vector<void*> pointers;  // by slot of the plan
    std::vector<SharedArray> states;  // by state of the recipe
    std::vector<SharedArray> held;    // what else pointers lead to
    std::vector<std::shared_ptr<Array>> results;
    std::optional<Arena> arena;
};

class Store {
  public:
    // The value of a variable, or nullptr.
    SharedArray get(int32_t variable) const;
    // The values of these, all of one moment; nullptr for those without one.
    std::vector<SharedArray> get(const std::vector<int32_t>& variables) const;

    // Stores values, all or none; `initial` ones only where there is none yet. `ended`: a run whose updates are made
    // in the same moment, each over the old value if nobody else has that.
    void commit(Values writes, const Values& initial, Ended* ended = nullptr, const RunOptions& options = {});

  private:
    mutable std::mutex mutex;
    Values values;
};

}  // namespace fb::graph
