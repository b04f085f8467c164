#include "graph/store.h"

namespace fb::graph {

SharedArray Store::get(int32_t variable) const {
    std::lock_guard hold(mutex);
    auto found = values.find(variable);
    return found == values.end() ? nullptr : found->second;
}

std::vector<SharedArray> Store::get(const std::vector<int32_t>& variables) const {
    std::vector<SharedArray> all;
    all.reserve(variables.size());
    std::lock_guard hold(mutex);
    for (int32_t each : variables) {
        auto found = values.find(each);
        all.push_back(found == values.end() ? nullptr : found->second);
    }
    return all;
}

void Store::commit(Values writes, const Values& initial, Ended* ended, const RunOptions& options) {
    std::lock_guard hold(mutex);
    for (auto& each : initial)
        if (!values.count(each.first)) writes.insert(each);
    if (ended && !ended->recipe.updates.empty()) {
        const Plan& plan = *ended->recipe.plan;
        for (size_t k = 0; k < plan.states.size(); k++) {
            const auto state = static_cast<size_t>(ended->recipe.updates[k]);
            const int32_t variable = ended->recipe.states[state].second;
            SharedArray value = std::move(ended->states[state]);
            const auto stored = values.find(variable);
            // Two have it: the store, and this run.
            const bool ours = stored != values.end() && stored->second == value && value.use_count() == 2;
            // A copy comes and goes, which orders what follows after the reads of those who had it before: the count
            // alone does not.
            if (ours) SharedArray(value).reset();
            if (!ours) {
                ended->held.push_back(std::move(value));
                value = std::make_shared<Array>(plan.slots[plan.states[k].first].spec);
            }
            ended->pointers[plan.states[k].first] = const_cast<void*>(value->data);
            writes[variable] = std::move(value);
        }
        update(plan, ended->pointers.data(), options);
    }
    // From here on nothing can fail.
    for (auto& [variable, value] : writes)
        if (auto found = values.find(variable); found != values.end()) found->second.swap(value);
    values.merge(writes);
}

}  // namespace fb::graph
