#include "runtime/plan.h"

#include "runtime/layout.h"

#include <algorithm>
#include <atomic>

namespace fb {

namespace {

constexpr int64_t alignment = 64;
constexpr double worth_sharing = 20000;  // ns: a shorter run stays on one thread
constexpr int64_t spare_bytes = 1 << 24;  // that a layout may take so that nobody waits

int64_t rounded(int64_t bytes) { return (std::max<int64_t>(bytes, 1) + alignment - 1) / alignment * alignment; }

int32_t stretch_of(int32_t step) { return step / Plan::stretch; }

// Which steps come before which, whatever the order of execution. Filled in the order of the plan.
class Ancestors {
  public:
    explicit Ancestors(size_t steps)
        : words((std::min<size_t>(steps, Plan::stretch) + 63) / 64), bits(steps * words) {}

    void extend(int32_t later, int32_t earlier) {  // of one stretch
        const uint64_t* from = bits.data() + earlier * words;
        uint64_t* to = bits.data() + later * words;
        for (size_t w = 0; w < words; w++) to[w] |= from[w];
        const size_t at = static_cast<size_t>(earlier % Plan::stretch);
        to[at / 64] |= uint64_t{1} << (at % 64);
    }
    bool before(int32_t earlier, int32_t later) const {
        if (stretch_of(earlier) != stretch_of(later)) return earlier < later;
        const size_t at = static_cast<size_t>(earlier % Plan::stretch);
        return bits[later * words + at / 64] >> (at % 64) & 1;
    }

  private:
    size_t words;
    std::vector<uint64_t> bits;
};

}  // namespace

Plan::Plan(Outline outline) {
    static std::atomic<int32_t> count{0};
    number = count.fetch_add(1);
    main = static_cast<int32_t>(outline.steps.size());
    for (Step& each : outline.updates) {
        outline.steps.push_back(std::move(each));
        outline.after.emplace_back();
    }
    check(outline);
    slots = std::move(outline.slots);
    steps = std::move(outline.steps);
    results = std::move(outline.results);
    states = std::move(outline.states);
    link(outline);
    if (has_host) count_readers();
    place();
    prioritise();
}

void Plan::check(const Outline& outline) const {
    std::vector<bool> made(outline.slots.size());
    auto in_range = [&](int32_t slot) { return slot >= 0 && slot < static_cast<int32_t>(outline.slots.size()); };
    std::vector<bool> produced(outline.slots.size());
    for (auto& step : outline.steps)
        for (int32_t slot : step.outputs) {
            if (!in_range(slot)) throw Error("a plan's step writes a slot that is not there");
            if (produced[slot]) throw Error("a plan's slot is written twice");
            produced[slot] = true;
        }
    for (size_t k = 0; k < made.size(); k++) made[k] = !produced[k] && outline.slots[k].kind == Slot::foreign;
    if (outline.after.size() != outline.steps.size()) throw Error("a plan has to say of each step what it waits for");
    for (size_t i = 0; i < outline.steps.size(); i++) {
        auto& step = outline.steps[i];
        for (int32_t slot : step.inputs) {
            if (slot == -1 && !step.kernel) continue;
            if (!in_range(slot) || !made[slot]) throw Error("a plan's step reads a slot that is not there");
            if (step.kernel && !outline.slots[slot].known) throw Error("a kernel's input has to be known");
        }
        for (int32_t slot : step.outputs) {
            made[slot] = true;
            auto& each = outline.slots[slot];
            if (each.kind == Slot::view) {
                if (!in_range(each.base) || !made[each.base] || outline.slots[each.base].kind == Slot::view)
                    throw Error("a plan's view has no base");
                if (!step.passive) throw Error("a plan's view is made by a step that does something");
            } else if (step.kernel && (each.kind == Slot::foreign || !each.known)) {
                throw Error("a kernel's output has to be known, and in the arena or a result");
            }
        }
        for (int32_t other : outline.after[i])
            if (other < 0 || other >= static_cast<int32_t>(i)) throw Error("a plan's step waits for a later one");
    }
    for (auto& [made_slot, old] : outline.states)
        if (!in_range(made_slot) || !in_range(old) || outline.slots[made_slot].kind != Slot::update ||
            outline.slots[old].kind != Slot::foreign || !outline.slots[old].known ||
            !same_layout(outline.slots[made_slot].spec, outline.slots[old].spec))
            throw Error("a plan's update does not fit what it updates");
    for (int32_t slot : outline.results)
        if (!in_range(slot) || !made[slot] || outline.slots[slot].kind != Slot::result)
            throw Error("a plan's result is not made");
}

void Plan::link(const Outline& outline) {
    views_of.resize(slots.size());
    for (size_t i = 0; i < steps.size(); i++) {
        Step& step = steps[i];
        if (static_cast<int32_t>(i) >= main) {  // the run is over by then
            for (int32_t slot : step.outputs) slots[slot].made = static_cast<int32_t>(i);
            continue;
        }
        std::vector<int32_t> needed = outline.after[i];
        for (int32_t slot : step.inputs) {
            if (slot < 0) continue;
            if (slots[slot].made >= 0) needed.push_back(slots[slot].made);
        }
        std::sort(needed.begin(), needed.end());
        needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
        const int32_t here = stretch_of(static_cast<int32_t>(i));
        needed.erase(needed.begin(), std::find_if(needed.begin(), needed.end(),
                                                  [&](int32_t other) { return stretch_of(other) == here; }));
        step.waits = static_cast<int32_t>(needed.size());
        for (int32_t other : needed) steps[other].successors.push_back(static_cast<int32_t>(i));
        for (int32_t slot : step.outputs) {
            slots[slot].made = static_cast<int32_t>(i);
            if (slots[slot].kind == Slot::view) {
                views.push_back(slot);
                views_of[slots[slot].base].push_back(slot);
            }
        }
        has_host = has_host || step.host();
    }
}

void Plan::count_readers() {
    readers.resize(slots.size());
    reads.resize(steps.size());
    for (size_t i = 0; i < steps.size(); i++) {
        for (int32_t slot : steps[i].inputs) {
            if (slot < 0) continue;
            const int32_t whose = slots[slot].kind == Slot::view ? slots[slot].base : slot;
            const int32_t made = slots[whose].made;
            if (made < 0 || !steps[made].host()) continue;
            auto& mine = reads[i];
            if (std::find(mine.begin(), mine.end(), whose) != mine.end()) continue;
            mine.push_back(whose);
            readers[whose]++;
        }
    }
}

// Gives each arena slot an offset. Two values may share memory when the time of the one, in the plan's order, is over
// before that of the other begins. Where steps run side by side that is not enough: unless all that touch the one come
// before the maker of the other anyway, this one has to wait for them. So a layout that makes nobody wait is preferred,
// if it is not much larger.
void Plan::place() {
    auto root = [&](int32_t slot) { return slots[slot].kind == Slot::view ? slots[slot].base : slot; };
    std::vector<std::vector<int32_t>> users(slots.size());  // by base slot: its maker and all readers, in order
    for (size_t i = 0; i < steps.size(); i++)
        for (auto* list : {&steps[i].outputs, &steps[i].inputs})
            for (int32_t slot : *list) {
                if (slot < 0) continue;
                auto& those = users[root(slot)];
                if (those.empty() || those.back() != static_cast<int32_t>(i)) those.push_back(static_cast<int32_t>(i));
                slots[root(slot)].last = static_cast<int32_t>(i);
            }

    Ancestors ancestors(steps.size());
    auto wait_for = [&](int32_t step, const std::vector<int32_t>& others) {
        for (int32_t other : others) {
            if (other == step || ancestors.before(other, step)) continue;
            steps[other].successors.push_back(step);
            steps[step].waits++;
            ancestors.extend(step, other);
        }
    };

    std::vector<Buffer> buffers;
    std::vector<int32_t> buffer_of(slots.size(), -1);
    for (size_t k = 0; k < steps.size(); k++) {
        const Step& step = steps[k];
        const int32_t i = static_cast<int32_t>(k);
        for (size_t output = 0; output < step.outputs.size(); output++) {
            const int32_t slot = step.outputs[output];
            if (slots[slot].kind != Slot::arena) continue;
            int64_t size = rounded(slots[slot].spec.bytes());
            int32_t source = overwritten(i, output, size);
            if (source >= 0) {
                wait_for(i, users[source]);
                Buffer& buffer = buffers[buffer_of[slot] = buffer_of[source]];
                buffer.last = slots[slot].last;
                buffer.users.insert(buffer.users.end(), users[slot].begin(), users[slot].end());
                slots[source].last = i - 1;  // its memory is gone
            } else {
                buffer_of[slot] = static_cast<int32_t>(buffers.size());
                buffers.push_back({size, i, slots[slot].last, users[slot], 0});
            }
        }
        for (int32_t next : step.successors) ancestors.extend(next, i);
    }

    auto at_once = [](const Buffer& a, const Buffer& b) { return a.last >= b.first && b.last >= a.first; };
    arena_bytes = lay_out(buffers, at_once);
    std::vector<Buffer> free = buffers;
    const int64_t bytes = lay_out(free, [&](const Buffer& a, const Buffer& b) {
        return at_once(a, b) || !std::all_of(a.users.begin(), a.users.end(),
                                             [&](int32_t user) { return ancestors.before(user, b.first); });
    });
    if (bytes <= arena_bytes + std::max(arena_bytes / 8, spare_bytes)) {
        buffers = std::move(free);
        arena_bytes = bytes;
    }
    std::vector<std::vector<const Buffer*>> ending(stretch_of(static_cast<int32_t>(steps.size())) + 1);  // by stretch
    for (const Buffer& each : buffers) ending[stretch_of(each.last)].push_back(&each);
    for (const Buffer& b : buffers)
        for (const Buffer* a : ending[stretch_of(b.first)])
            if (a->last < b.first && a->offset < b.offset + b.size && b.offset < a->offset + a->size)
                wait_for(b.first, a->users);
    for (size_t k = 0; k < slots.size(); k++)
        if (buffer_of[k] >= 0) slots[k].offset = buffers[buffer_of[k]].offset;
}

// The slot in whose memory a step may write an output, as nobody else reads it from then on; -1 for none.
int32_t Plan::overwritten(int32_t index, size_t output, int64_t size) const {
    const Step& step = steps[index];
    for (size_t k = 0; step.kernel && k < step.inputs.size(); k++) {
        if (!step.kernel->may_lie(output, k)) continue;
        const int32_t source = step.inputs[k];
        const Slot& from = slots[source];
        const bool once = std::count(step.inputs.begin(), step.inputs.end(), source) == 1;
        const bool over = from.kind == Slot::arena && from.last == index && views_of[source].empty();
        if (once && over && rounded(from.spec.bytes()) == size) return source;
    }
    return -1;
}

void Plan::prioritise() {
    for (size_t i = main; i < steps.size(); i++) update_cost += steps[i].kernel->cost;
    double longest = 0;  // way through a stretch
    for (int32_t i = main; i-- > 0;) {
        Step& step = steps[i];
        double rest = 0;
        for (int32_t next : step.successors) rest = std::max(rest, steps[next].priority);
        double own = step.kernel ? step.kernel->cost : step.passive ? 0 : 2000;
        step.priority = own + rest;
        cost += own;
        longest = std::max(longest, step.priority);
        if (i % stretch == 0) {
            critical += longest;
            longest = 0;
        }
        if (step.waits == 0) ready.push_back(i);
    }
    std::reverse(ready.begin(), ready.end());
    parallel = cost > worth_sharing && critical < 0.95 * cost;
    cost += update_cost;
}

}  // namespace fb
