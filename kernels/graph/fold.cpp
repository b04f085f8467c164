#include "graph/fold.h"

#include "runtime/pool.h"

namespace fb::graph {

namespace {

constexpr int64_t most_bytes = int64_t{1} << 24;  // of a result; past this it is computed again in each run
constexpr int64_t all_bytes = int64_t{1} << 26;   // of all of them

class Folding {
  public:
    explicit Folding(Draft& draft) : draft(draft), outline(draft.outline) {
        for (auto& [slot, array] : draft.recipe->constants) known[slot] = array;
    }

    void run() {
        std::vector<int32_t> order;
        for (int32_t at = 0; at < draft.count(); at++)
            if (!folded(at)) order.push_back(at);
        if (order.size() < outline.steps.size())
            draft.arrange(order, std::vector<int32_t>(outline.steps.size(), -1));
    }

  private:
    // Where a constant, or a view of one, lies; nullptr for all else.
    const void* place(int32_t slot) const {
        if (slot < 0) return nullptr;
        const Slot& each = outline.slots[slot];
        const bool view = each.kind == Slot::view;
        const auto found = known.find(view ? each.base : slot);
        if (found == known.end()) return nullptr;
        return static_cast<const char*>(found->second->data) + (view ? each.offset : 0);
    }

    bool folded(int32_t at) {
        const Step& step = outline.steps[at];
        if (!step.kernel || draft.calls[at].name.empty() || !outline.after[at].empty()) return false;
        std::vector<const void*> inputs;
        for (int32_t slot : step.inputs) {
            inputs.push_back(place(slot));
            if (!inputs.back()) return false;
        }
        int64_t bytes = 0;
        for (int32_t slot : step.outputs) {
            const int64_t each = outline.slots[slot].spec.bytes();
            if (each > most_bytes || (bytes += each) > all_bytes - used) return false;
        }
        std::vector<std::shared_ptr<Array>> made;
        std::vector<void*> outputs;
        try {
            for (int32_t slot : step.outputs) {
                made.push_back(std::make_shared<Array>(outline.slots[slot].spec));
                outputs.push_back(made.back()->data);
            }
            PoolWork alone(1);
            step.kernel->run(alone, inputs.data(), outputs.data());
        } catch (const std::exception&) {
            return false;
        }
        used += bytes;
        for (size_t k = 0; k < made.size(); k++) {
            const int32_t slot = step.outputs[k];
            outline.slots[slot].kind = Slot::foreign;
            draft.recipe->constants.emplace_back(slot, made[k]);
            known[slot] = made[k];
        }
        return true;
    }

    Draft& draft;
    Outline& outline;
    std::unordered_map<int32_t, SharedArray> known;  // by slot
    int64_t used = 0;
};

}  // namespace

void fold(Draft& draft) { Folding(draft).run(); }

}  // namespace fb::graph
