#include "runtime/updates.h"

#include "runtime/executor.h"

#include <algorithm>
#include <numeric>

namespace fb {

namespace {

// Whether it cannot fail, and may write each of its outputs where the old value lies.
bool writes_in_place(const Outline& outline, const Step& step, const std::unordered_map<int32_t, int32_t>& old) {
    if (!step.kernel || !step.kernel->sure || step.outputs.empty()) return false;
    if (step.inputs.size() > few_operands || step.outputs.size() > few_operands) return false;
    for (size_t k = 0; k < step.outputs.size(); k++) {
        const auto found = old.find(step.outputs[k]);
        if (found == old.end()) return false;
        const auto& in = step.inputs;
        const auto place = std::find(in.begin(), in.end(), found->second);
        if (std::count(in.begin(), in.end(), found->second) != 1 || !step.kernel->may_lie(k, place - in.begin()))
            return false;
        const Slot &made = outline.slots[found->first], &from = outline.slots[found->second];
        if (from.kind != Slot::foreign || !from.known || !same_layout(made.spec, from.spec)) return false;
    }
    return true;
}

// The steps that nothing comes after but others of these, and steps that do nothing.
std::vector<int32_t> last_ones(const Outline& outline, const std::unordered_map<int32_t, int32_t>& old) {
    std::vector<int32_t> maker(outline.slots.size(), -1), found;
    std::vector<bool> read(outline.slots.size()), awaited(outline.steps.size());
    for (size_t i = 0; i < outline.steps.size(); i++) {
        for (int32_t slot : outline.steps[i].outputs) maker[slot] = static_cast<int32_t>(i);
        for (int32_t slot : outline.steps[i].inputs)
            if (slot >= 0) read[slot] = true;
    }
    for (size_t i = outline.steps.size(); i-- > 0;) {
        const Step& step = outline.steps[i];
        if (!awaited[i]) {
            if (step.passive && step.outputs.empty()) continue;
            const bool unread =
                std::none_of(step.outputs.begin(), step.outputs.end(), [&](int32_t slot) { return read[slot]; });
            if (unread && writes_in_place(outline, step, old)) {
                found.push_back(static_cast<int32_t>(i));
                continue;
            }
        }
        for (int32_t slot : step.inputs)
            if (slot >= 0 && maker[slot] >= 0) awaited[maker[slot]] = true;
        for (int32_t other : outline.after[i]) awaited[other] = true;
    }
    return found;
}

}  // namespace

std::vector<int32_t> leave_updates(Outline& outline, const std::unordered_map<int32_t, int32_t>& old) {
    const auto count = static_cast<int32_t>(outline.steps.size());
    std::vector<int32_t> origin(count);
    std::iota(origin.begin(), origin.end(), 0);
    if (old.empty()) return origin;
    const std::vector<int32_t> last = last_ones(outline, old);

    // None of them may read, also not as a view, what is written over, but for the value in its place.
    std::unordered_map<int32_t, int> reads;
    for (int32_t i : last)
        for (int32_t slot : outline.steps[i].inputs)
            reads[outline.slots[slot].kind == Slot::view ? outline.slots[slot].base : slot]++;
    std::vector<bool> late(count);
    for (int32_t i : last) {
        const auto& made = outline.steps[i].outputs;
        late[i] = std::all_of(made.begin(), made.end(), [&](int32_t slot) { return reads.at(old.at(slot)) == 1; });
    }

    std::vector<int32_t> place(count, -1), later;
    std::vector<Step> steps;
    std::vector<std::vector<int32_t>> after;
    origin.clear();
    for (int32_t i = 0; i < count; i++) {
        if (late[i]) {
            for (int32_t slot : outline.steps[i].outputs) {
                outline.slots[slot].kind = Slot::update;
                outline.states.emplace_back(slot, old.at(slot));
            }
            outline.updates.push_back(std::move(outline.steps[i]));
            later.push_back(i);
            continue;
        }
        place[i] = static_cast<int32_t>(steps.size());
        steps.push_back(std::move(outline.steps[i]));
        after.emplace_back();
        for (int32_t other : outline.after[i])
            if (place[other] >= 0) after.back().push_back(place[other]);  // what waits for an update does nothing
        origin.push_back(i);
    }
    outline.steps = std::move(steps);
    outline.after = std::move(after);
    auto& results = outline.results;
    results.erase(std::remove_if(results.begin(), results.end(),
                                 [&](int32_t slot) { return outline.slots[slot].kind == Slot::update; }),
                  results.end());
    origin.insert(origin.end(), later.begin(), later.end());
    return origin;
}

}  // namespace fb
