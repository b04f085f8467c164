// Runs plans. Steps start when what they need is there, those on the longest way first; kernels that split their work
// share the same threads. What is small runs on the caller's thread alone.
#pragma once

#include "runtime/events.h"
#include "runtime/plan.h"
#include "runtime/pool.h"

#include <mutex>

namespace fb {

// The program around the run. All of it is called on the caller's thread.
class Host {
  public:
    virtual ~Host() = default;
    // Run a step that has no kernel: read `pointers` of its inputs, set those of its known outputs (contiguous memory
    // that stays until the run is over). May raise.
    virtual void perform(int32_t step, void** pointers) = 0;
    // No step reads this any more, which a step of the host made. Called on any thread.
    virtual void done(int32_t) {}
    // Called every now and then; may raise to end the run.
    virtual void poll() {}
};

// The step that raised, with what it raised.
class FB_VISIBLE StepError : public Error {
  public:
    StepError(int32_t step, const std::string& text, bool of_shape = false)
        : Error(text), step(step), of_shape(of_shape) {}
    ~StepError() override = default;
    int32_t step;
    bool of_shape;  // it was a ShapeError
};

struct RunOptions {
    int threads = 1;
    Host* host = nullptr;
    uint32_t run = 0;  // its number, for events
};

// Memory that runs take turns with. The largest block that is not in use is kept.
class Arena {
  public:
    explicit Arena(int64_t bytes);
    ~Arena();
    Arena(const Arena&) = delete;
    char* data() const { return block; }

    // Bytes in use by runs at this moment, and the most there have been since `reset_peak`.
    static int64_t in_use();
    static int64_t peak();
    static void reset_peak();
    static void release_cached();

  private:
    char* block = nullptr;
    int64_t size = 0;
};

// Runs all steps but updates. `pointers` (one for each slot) holds the memory of foreign slots and results when it
// begins. Raises StepError for what a kernel raises, and whatever the host raises.
void execute(const Plan& plan, void** pointers, const RunOptions& options);

// The same, with the memory (of `plan.arena_bytes`) of a caller who will run the updates afterwards.
void execute(const Plan& plan, void** pointers, const RunOptions& options, Arena& arena);

// So many inputs, and so many outputs, a step has without memory for the call.
constexpr size_t few_operands = 64;

// Runs the updates of a run, when `pointers` of what they write are known. Nothing stops it; see `Kernel::sure`.
void update(const Plan& plan, void** pointers, const RunOptions& options);

}  // namespace fb
