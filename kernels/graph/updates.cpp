#include "graph/updates.h"

#include "runtime/updates.h"

namespace fb::graph {

void leave_updates(Draft& draft) {
    Outline& outline = draft.outline;
    Recipe& recipe = *draft.recipe;
    std::unordered_map<int32_t, int32_t> state_of, uses, old;
    for (size_t k = 0; k < recipe.states.size(); k++) state_of[recipe.states[k].second] = static_cast<int32_t>(k);
    for (int32_t each : recipe.fetches) uses[each]++;
    for (auto& each : recipe.writes) uses[each.second]++;
    std::unordered_map<int32_t, int32_t> updated;  // by slot of a new value: the state that it would replace
    for (auto [variable, number] : recipe.writes) {
        const auto state = state_of.find(variable);
        if (state == state_of.end() || uses[number] > 1) continue;
        updated[outline.results[number]] = state->second;
        old[outline.results[number]] = recipe.states[state->second].first;
    }
    const std::vector<int32_t> before = outline.results;
    const std::vector<int32_t> origin = fb::leave_updates(outline, old);

    for (auto& each : outline.states) recipe.updates.push_back(updated.at(each.first));
    std::unordered_map<int32_t, int32_t> number_of;  // by slot: which result it is now
    for (size_t k = 0; k < outline.results.size(); k++) number_of[outline.results[k]] = static_cast<int32_t>(k);
    for (int32_t& each : recipe.fetches)
        if (each >= 0) each = number_of.at(before[each]);
    std::vector<std::pair<int32_t, int32_t>> writes;
    for (auto [variable, number] : recipe.writes)
        if (auto found = number_of.find(before[number]); found != number_of.end())
            writes.emplace_back(variable, found->second);
    recipe.writes = std::move(writes);

    std::vector<int32_t> nodes;
    std::map<int32_t, Choice> choices;
    for (int32_t from : origin) {
        if (auto choice = recipe.choices.find(from); choice != recipe.choices.end())
            choices.emplace(static_cast<int32_t>(nodes.size()), std::move(choice->second));
        nodes.push_back(recipe.nodes[from]);
    }
    recipe.nodes = std::move(nodes);
    recipe.choices = std::move(choices);
}

}  // namespace fb::graph
