#include "graph/draft.h"

#include <algorithm>

namespace fb::graph {

std::vector<int32_t> Draft::makers() const {
    std::vector<int32_t> found(outline.slots.size(), -1);
    for (int32_t at = 0; at < count(); at++)
        for (int32_t slot : outline.steps[at].outputs) found[slot] = at;
    return found;
}

std::vector<bool> Draft::awaited() const {
    std::vector<bool> found(outline.steps.size());
    for (auto& list : outline.after)
        for (int32_t each : list) found[each] = true;
    return found;
}

int32_t Draft::append(Step step, Called called, int32_t node) {
    outline.steps.push_back(std::move(step));
    outline.after.emplace_back();
    recipe->nodes.push_back(node);
    calls.push_back(std::move(called));
    return count() - 1;
}

void Draft::arrange(const std::vector<int32_t>& order, const std::vector<int32_t>& instead) {
    std::vector<int32_t> place(outline.steps.size(), -1);
    for (size_t k = 0; k < order.size(); k++) place[order[k]] = static_cast<int32_t>(k);
    auto moved = [&](int32_t at) {
        while (at >= 0 && place[at] < 0) at = instead[at];
        return at < 0 ? -1 : place[at];
    };
    Outline made;
    std::vector<Called> called;
    std::vector<int32_t> nodes;
    std::map<int32_t, Choice> choices;
    std::map<int32_t, Piece> kept;
    for (int32_t old : order) {
        const auto at = static_cast<int32_t>(made.steps.size());
        if (auto choice = recipe->choices.find(old); choice != recipe->choices.end())
            choices.emplace(at, std::move(choice->second));
        if (auto piece = pieces.find(old); piece != pieces.end()) kept.emplace(at, std::move(piece->second));
        made.steps.push_back(std::move(outline.steps[old]));
        called.push_back(std::move(calls[old]));
        nodes.push_back(recipe->nodes[old]);
        std::vector<int32_t> after;
        for (int32_t each : outline.after[old])
            if (int32_t other = moved(each); other >= 0) after.push_back(other);
        std::sort(after.begin(), after.end());
        after.erase(std::unique(after.begin(), after.end()), after.end());
        made.after.push_back(std::move(after));
    }
    outline.steps = std::move(made.steps);
    outline.after = std::move(made.after);
    calls = std::move(called);
    recipe->nodes = std::move(nodes);
    recipe->choices = std::move(choices);
    pieces = std::move(kept);
}

void Draft::drop_constants() {
    std::vector<bool> read(outline.slots.size());
    for (auto* steps : {&outline.steps, &outline.updates})
        for (const Step& each : *steps)
            for (int32_t slot : each.inputs)
                if (slot >= 0) read[slot] = true;
    for (const Slot& each : outline.slots)
        if (each.base >= 0) read[each.base] = true;
    auto& all = recipe->constants;
    all.erase(std::remove_if(all.begin(), all.end(), [&](auto& each) { return !read[each.first]; }), all.end());
}

}  // namespace fb::graph
