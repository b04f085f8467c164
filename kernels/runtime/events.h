// What ran when, and on which thread: a ring that all threads write to without a lock, and that Python reads as an array.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace fb {

// Seconds are those of the steady clock, as Python's time.perf_counter has them.
struct Event {
    double start = 0, end = 0;
    int32_t plan = 0;   // the number of the plan
    int32_t step = 0;   // of the plan
    int32_t thread = 0;  // 0: the one that called
    uint32_t run = 0;
};

class Events {
  public:
    static constexpr uint64_t capacity = 1 << 16;  // the newest are kept

    static Events& get();
    void write(const Event& event);
    // How many have been written, ever.
    uint64_t count() const { return head.load(std::memory_order_acquire); }
    // Those from number `first` on that are still there, oldest first; one that is being written now is left out.
    std::vector<Event> read(uint64_t first) const;

    bool on() const { return wanted.load(std::memory_order_acquire); }
    // Whether runs that begin from now on write. Not to be called by two threads at once.
    void record(bool wanted);

  private:
    // `turn` is the number of the event in the place plus one; 0 while it is written.
    struct Place {
        std::atomic<uint64_t> turn{0};
        std::atomic<double> start{0}, end{0};
        std::atomic<int64_t> what{0}, where{0};
    };
    Events() = default;
    std::vector<Place> places;  // none until they are wanted: touching their memory takes as long as a small plan's run
    std::atomic<uint64_t> head{0};
    std::atomic<bool> wanted{false};
};

}  // namespace fb
