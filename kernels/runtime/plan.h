// A plan as the native executor runs it: which kernel reads which slots and fills which, where each value lies, and
// what has to wait for what. Frozen once built; any number of runs may use it at once.
#pragma once

#include "runtime/kernel.h"

#include <memory>

namespace fb {

struct Slot {
    enum Kind : uint8_t {
        foreign,   // given from outside: a feed, a variable, a constant, what a host step made
        arena,     // lies in the run's arena
        view,      // the memory of another slot, with strides of its own
        result,    // asked for, so in memory of its own that outlives the run
        update,    // a variable's new value: in the memory of the old one, where nobody else has that when the run ends
    };
    Kind kind = foreign;
    bool known = false;  // whether dtype and shape are known; else only host steps use it
    Spec spec;
    int base = -1;       // of a view: the slot whose memory it is (never a view itself)
    int64_t offset = 0;  // in bytes: in the arena, or after the start of the base
    int32_t made = -1;   // the step that makes it; -1 for what is given
    int32_t last = -1;   // the last step, in the plan's order, that touches it or a view of it
};

struct Step {
    std::shared_ptr<const Kernel> kernel;  // none: the host runs it
    std::vector<int32_t> inputs;           // -1 for one that is left out (host steps only)
    std::vector<int32_t> outputs;
    std::vector<int32_t> successors;  // of its stretch
    int32_t waits = 0;
    double priority = 0;  // time from its start to the end of its stretch, along the longest way
    bool passive = false; // a view: there is nothing to do
    bool host() const { return !kernel && !passive; }
};

// What a plan is made from: slots and steps in an order that works.
struct Outline {
    std::vector<Slot> slots;
    std::vector<Step> steps;
    std::vector<std::vector<int32_t>> after;  // by step: others it has to wait for although no value flows
    std::vector<int32_t> results;             // slots to be had at the end, each once, none of them a view or given
    std::vector<Step> updates;                // steps for the end of a run, when it is sure that it succeeds
    std::vector<std::pair<int32_t, int32_t>> states;  // what they write: slots of the new value and of the old one
};

class Plan {
  public:
    // Raises Error for an outline that reads what is not there, or does not fit together.
    explicit Plan(Outline outline);

    int32_t number;  // its own, among all plans of the process
    std::vector<Slot> slots;
    std::vector<Step> steps;
    std::vector<int32_t> results;
    std::vector<std::pair<int32_t, int32_t>> states;
    int32_t main = 0;  // so many steps are the run; those after them are updates
    // Steps run side by side within stretches of so many: one begins when those before it are done. That bounds what has
    // to be known of what comes before what.
    static constexpr int32_t stretch = 4000;
    std::vector<int32_t> views;        // the view slots
    std::vector<int32_t> ready;        // steps that wait for nothing
    std::vector<std::vector<int32_t>> views_of;  // by slot
    int64_t arena_bytes = 0;
    double cost = 0;      // of all steps on one core, in nanoseconds
    double update_cost = 0;  // of the updates among them
    double critical = 0;  // of the longest way
    bool parallel = false;  // whether running steps side by side may pay
    bool has_host = false;
    // Of values that the host makes: how many steps read one, or a view of it, by slot; and which a step reads, by step.
    std::vector<int32_t> readers;
    std::vector<std::vector<int32_t>> reads;

  private:
    void check(const Outline& outline) const;
    void link(const Outline& outline);
    void count_readers();
    void place();
    int32_t overwritten(int32_t index, size_t output, int64_t size) const;
    void prioritise();
};

}  // namespace fb
