#include "graph/fuse.h"

#include "runtime/library.h"

#include <algorithm>
#include <queue>
#include <set>

namespace fb::graph {

namespace {

constexpr int64_t small = 4096;     // elements: all registers of a group stay in the cache, however many
constexpr size_t most_members = 64;  // of a group over more elements
constexpr size_t most_arrays = 48;   // that a group reads

class Fusion {
  public:
    explicit Fusion(Draft& draft)
        : draft(draft), outline(draft.outline), pieces(draft.pieces), count(draft.count()), maker(draft.makers()),
          readers(count), stages(count), fusible(count) {
        const std::vector<bool> awaited = draft.awaited();
        for (int32_t at = 0; at < count; at++)  // where there are others to wait for, the place is given
            fusible[at] = pieces.count(at) && outline.after[at].empty() && !awaited[at];
        for (int32_t at = 0; at < count; at++)
            for (int32_t slot : outline.steps[at].inputs)
                if (slot >= 0 && maker[slot] >= 0) readers[maker[slot]].push_back(at);
        kept.insert(outline.results.begin(), outline.results.end());
    }

    void run() {
        raise();
        sink();
        std::vector<Step> fused(count);
        std::vector<int32_t> group_of(count, -1), last;
        for (auto& members : groups()) {
            Step made;
            if (!build(members, made)) continue;
            for (int32_t at : members) group_of[at] = static_cast<int32_t>(last.size());
            last.push_back(members.back());
            fused[members.back()] = std::move(made);
        }
        if (!last.empty()) rebuild(group_of, last, fused);
    }

  private:
    const Shape& shape(int32_t at) const { return iteration_shape(pieces.at(at)); }
    bool reduces(int32_t at) const { return is_reduction(pieces.at(at).op); }
    int32_t output(int32_t at) const { return outline.steps[at].outputs[0]; }
    int64_t bytes(int32_t slot) const { return outline.slots[slot].spec.bytes(); }

    // Whether two neighbours can be in one pass.
    bool joins(int32_t before, int32_t after) const {
        return fusible[before] && fusible[after] && !reduces(before) && shape(before) == shape(after);
    }

    // The first stage that each step can be in.
    void raise() {
        for (int32_t at = 0; at < count; at++) {
            for (int32_t slot : outline.steps[at].inputs)
                if (slot >= 0 && maker[slot] >= 0)
                    stages[at] = std::max(stages[at], stages[maker[slot]] + !joins(maker[slot], at));
            for (int32_t other : outline.after[at]) stages[at] = std::max(stages[at], stages[other] + 1);
        }
    }

    // Moves what only later groups read into them, where that keeps fewer bytes, or as many.
    void sink() {
        for (int32_t at = count - 1; at >= 0; at--) {
            if (!fusible[at] || reduces(at) || kept.count(output(at)) || readers[at].empty()) continue;
            int32_t late = INT32_MAX;
            bool all = true;
            for (int32_t after : readers[at]) {
                all = all && joins(at, after);
                late = std::min(late, stages[after]);
            }
            if (!all || late <= stages[at]) continue;
            int64_t kept_bytes = 0;
            std::set<int32_t> inputs(outline.steps[at].inputs.begin(), outline.steps[at].inputs.end());
            for (int32_t slot : inputs) {
                int32_t before = slot >= 0 ? maker[slot] : -1;
                if (before < 0 || kept.count(slot) || !joins(before, at)) continue;  // in memory anyway
                bool only = true;
                for (int32_t after : readers[before])
                    only = only && (after == at || (stages[after] == stages[before] && joins(before, after)));
                if (only) kept_bytes += bytes(slot);
            }
            if (kept_bytes <= bytes(output(at))) stages[at] = late;
        }
    }

    // The members of each group of two or more, in order.
    std::vector<std::vector<int32_t>> groups() const {
        std::vector<int32_t> parent(count);
        for (int32_t at = 0; at < count; at++) parent[at] = at;
        auto root = [&](int32_t at) {
            while (parent[at] != at) at = parent[at] = parent[parent[at]];
            return at;
        };
        for (int32_t at = 0; at < count; at++)
            for (int32_t slot : outline.steps[at].inputs) {
                int32_t before = slot >= 0 ? maker[slot] : -1;
                if (before >= 0 && stages[before] == stages[at] && joins(before, at)) parent[root(at)] = root(before);
            }
        std::map<int32_t, std::vector<int32_t>> found;
        for (int32_t at = 0; at < count; at++)
            if (fusible[at]) found[root(at)].push_back(at);
        std::vector<std::vector<int32_t>> parts;
        for (auto& each : found)
            if (each.second.size() > 1) cut(each.second, parts);
        return parts;
    }

    // A group in parts, one after the other, where it is too long or would read too many arrays.
    void cut(const std::vector<int32_t>& members, std::vector<std::vector<int32_t>>& parts) const {
        if (elements(shape(members[0])) <= small) {
            parts.push_back(members);
            return;
        }
        std::vector<int32_t> part;
        std::set<int32_t> reads, made;
        auto close = [&] {
            if (part.size() > 1) parts.push_back(part);
            part.clear();
            reads.clear();
            made.clear();
        };
        for (int32_t at : members) {
            std::set<int32_t> more = reads;
            for (int32_t slot : outline.steps[at].inputs)
                if (!made.count(slot)) more.insert(slot);
            if (part.size() == most_members || more.size() > most_arrays) {
                close();
                more = {outline.steps[at].inputs.begin(), outline.steps[at].inputs.end()};
            }
            part.push_back(at);
            reads = std::move(more);
            made.insert(output(at));
        }
        close();
    }

    // The step of a group; false when no kernel does it, so that its members stay as they are.
    bool build(const std::vector<int32_t>& members, Step& step) const {
        std::set<int32_t> inside(members.begin(), members.end());
        ElementwiseProgram program;
        for (int32_t at : members) {
            if (!program.add(pieces.at(at), output(at))) return false;
            bool needed = kept.count(output(at)) != 0;
            for (int32_t reader : readers[at]) needed = needed || !inside.count(reader);
            if (needed) step.outputs.push_back(output(at));
        }
        step.inputs = program.inputs();
        Signature s;
        for (int32_t slot : step.inputs) s.inputs.push_back(outline.slots[slot].spec);
        for (int32_t slot : step.outputs) s.outputs.push_back(outline.slots[slot].spec);
        s.attrs = program.finish(step.outputs, shape(members[0]));
        step.kernel = Library::get().make("elementwise", s);
        return step.kernel && !step.outputs.empty();
    }

    // The outline with groups as single steps, where their last member stood, in an order that works close to that.
    void rebuild(const std::vector<int32_t>& group_of, const std::vector<int32_t>& last, std::vector<Step>& fused) {
        std::vector<int32_t> steps;  // by new place, before ordering: the old step
        for (int32_t at = 0; at < count; at++)
            if (group_of[at] < 0 || last[group_of[at]] == at) steps.push_back(at);
        size_t size = steps.size();
        std::vector<int32_t> place(count, -1);
        for (size_t k = 0; k < size; k++) {
            place[steps[k]] = static_cast<int32_t>(k);
            if (group_of[steps[k]] >= 0) outline.steps[steps[k]] = std::move(fused[steps[k]]);
        }
        for (int32_t at = 0; at < count; at++)
            if (place[at] < 0) place[at] = place[last[group_of[at]]];
        std::vector<std::vector<int32_t>> next(size);
        std::vector<int32_t> waits(size);
        for (size_t k = 0; k < size; k++) {
            std::set<int32_t> needed;
            for (int32_t slot : outline.steps[steps[k]].inputs)
                if (slot >= 0 && maker[slot] >= 0) needed.insert(place[maker[slot]]);
            for (int32_t other : outline.after[steps[k]]) needed.insert(place[other]);
            needed.erase(static_cast<int32_t>(k));
            waits[k] = static_cast<int32_t>(needed.size());
            for (int32_t other : needed) next[other].push_back(static_cast<int32_t>(k));
        }
        std::priority_queue<int32_t, std::vector<int32_t>, std::greater<int32_t>> ready;
        for (size_t k = 0; k < size; k++)
            if (!waits[k]) ready.push(static_cast<int32_t>(k));
        std::vector<int32_t> order, instead(count, -1);
        while (!ready.empty()) {
            int32_t k = ready.top();
            ready.pop();
            order.push_back(steps[k]);
            for (int32_t other : next[k])
                if (--waits[other] == 0) ready.push(other);
        }
        if (order.size() != size) throw Error("fusion closed a circle");
        for (int32_t at = 0; at < count; at++)
            if (group_of[at] >= 0) instead[at] = last[group_of[at]];
        for (int32_t at : last) {
            draft.calls[at] = {};
            draft.pieces.erase(at);
        }
        draft.arrange(order, instead);
    }

    Draft& draft;
    Outline& outline;
    const std::map<int32_t, Piece>& pieces;
    int32_t count;
    std::vector<int32_t> maker;
    std::vector<std::vector<int32_t>> readers;
    std::vector<int32_t> stages;
    std::vector<bool> fusible;
    std::set<int32_t> kept;
};

}  // namespace

void fuse(Draft& draft) {
    if (draft.pieces.size() > 1) Fusion(draft).run();
}

}  // namespace fb::graph
