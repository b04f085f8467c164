#include "graph/cse.h"

#include <numeric>

namespace fb::graph {

namespace {

constexpr int64_t small = 64;  // bytes of a constant that is compared with others

// Texts that are equal for equal things.
class Key {
  public:
    Key& add(const void* data, size_t bytes) {
        text.append(static_cast<const char*>(data), bytes);
        return *this;
    }
    Key& add(int64_t number) { return add(&number, sizeof number); }
    Key& add(const std::string& name) { return add(static_cast<int64_t>(name.size())).add(name.data(), name.size()); }
    Key& add(const Spec& spec, bool strides) {
        add(static_cast<int64_t>(spec.dtype)).add(int64_t{spec.rank});
        for (int i = 0; i < spec.rank; i++) add(spec.shape[i]);
        for (int i = 0; strides && i < spec.rank; i++) add(spec.stride[i]);
        return *this;
    }
    Key& add(const Attr& attr) {
        add(int64_t{attr.kind}).add(attr.s).add(static_cast<int64_t>(attr.i.size()));
        for (int64_t each : attr.i) add(each);
        add(static_cast<int64_t>(attr.r.size()));
        if (!attr.r.empty()) add(attr.r.data(), attr.r.size() * sizeof(double));  // minus zero is not zero
        add(static_cast<int64_t>(attr.items.size()));
        for (const Attr& each : attr.items) add(each);
        return *this;
    }
    Key& add(const Attrs& attrs) {
        add(static_cast<int64_t>(attrs.all.size()));
        for (auto& [name, attr] : attrs.all) add(name).add(attr);
        return *this;
    }
    std::string text;
};

class Merging {
  public:
    explicit Merging(Draft& draft)
        : draft(draft), outline(draft.outline), same(outline.slots.size()), instead(draft.count(), -1) {
        std::iota(same.begin(), same.end(), 0);
    }

    std::vector<int32_t> run() {
        merge_constants();
        std::unordered_map<std::string, int32_t> found;
        std::vector<int32_t> order;
        for (int32_t at = 0; at < draft.count(); at++) {
            redirect(at);
            const bool open = outline.after[at].empty() && !outline.steps[at].outputs.empty();
            if (open && (outline.steps[at].passive || !draft.calls[at].name.empty())) {
                const auto other = found.emplace(key(at), at);
                if (!other.second) {
                    instead[at] = other.first->second;
                    for (size_t k = 0; k < outline.steps[at].outputs.size(); k++)
                        same[outline.steps[at].outputs[k]] = outline.steps[instead[at]].outputs[k];
                    continue;
                }
            }
            order.push_back(at);
        }
        if (order.size() < outline.steps.size()) draft.arrange(order, instead);
        return std::move(same);
    }

  private:
    void merge_constants() {
        std::unordered_map<std::string, int32_t> found;
        for (auto& [slot, array] : draft.recipe->constants) {
            if (array->spec.bytes() > small) continue;
            Key key;
            key.add(array->spec, false).add(array->data, static_cast<size_t>(array->spec.bytes()));
            same[slot] = found.emplace(std::move(key.text), slot).first->second;
        }
    }

    // A step reads what is kept.
    void redirect(int32_t at) {
        auto move = [&](int32_t& slot) {
            if (slot >= 0) slot = same[slot];
        };
        for (int32_t& slot : outline.steps[at].inputs) move(slot);
        for (int32_t slot : outline.steps[at].outputs) move(outline.slots[slot].base);
        if (auto piece = draft.pieces.find(at); piece != draft.pieces.end())
            for (int32_t& slot : piece->second.slots) move(slot);
        if (auto choice = draft.recipe->choices.find(at); choice != draft.recipe->choices.end()) {
            move(choice->second.predicate);
            for (auto& inputs : choice->second.inputs)
                for (int32_t& slot : inputs) move(slot);
        }
    }

    std::string key(int32_t at) const {
        const Step& step = outline.steps[at];
        Key key;
        key.add(draft.calls[at].name).add(draft.calls[at].attrs).add(static_cast<int64_t>(step.passive));
        key.add(static_cast<int64_t>(step.inputs.size()));
        for (int32_t slot : step.inputs) key.add(int64_t{slot});
        for (int32_t slot : step.outputs) {
            const Slot& each = outline.slots[slot];
            key.add(each.spec, true);
            if (step.passive) key.add(int64_t{each.base}).add(each.offset);
        }
        return std::move(key.text);
    }

    Draft& draft;
    Outline& outline;
    std::vector<int32_t> same, instead;
};

}  // namespace

std::vector<int32_t> merge_equal(Draft& draft) { return Merging(draft).run(); }

}  // namespace fb::graph
