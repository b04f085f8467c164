// The one thread pool. Runs and kernel calls offer work as Sources; idle workers take it.
//
// There are at most as many workers as somebody asked threads for, whoever runs at the same time. A worker that finds
// nothing spins for a short while, so that the next piece of a run starts at once, and then sleeps.
#pragma once

#include "runtime/kernel.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace fb {

// Waits without the kernel's help for a while: first on the spot, then giving others the core.
class Spin {
  public:
    void once() {
        if (++count < 64) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        } else {
            std::this_thread::yield();
        }
    }

  private:
    int count = 0;
};

class Source {
  public:
    virtual ~Source() = default;
    // Whether `work` would find something; a guess, made without a lock.
    virtual bool ready() const = 0;
    // Do pieces of work until there are none. Must not raise.
    virtual void work() = 0;

    int helpers = 0;            // workers that may be inside at once, those inside its parts counted
    Source* part_of = nullptr;  // the run that it belongs to
    bool whole = false;         // has whole steps: preferred, as they need nobody else
  private:
    friend class Pool;
    // Guarded by the pool's lock.
    int inside = 0;
    int inside_parts = 0;
};

class Pool {
  public:
    Pool();
    static Pool& get();

    // Threads that work on something for which `threads` are allowed: the caller, and workers.
    void reserve(int threads);
    void add(Source& source);
    // After this no worker is inside, or will be.
    void remove(Source& source);
    // Tell sleeping workers that a source has work now.
    void notify();

    // Does pieces of something that belongs to this run, when there is any, on the caller's thread.
    bool help(Source* run);

    static int cpus();    // how many this process may use; FLOWBOOK_THREADS in the environment says otherwise
    static int worker();  // the number of this thread: 0 for one that is not of the pool

  private:
    void loop(int number);
    Source* pick();
    static bool open(const Source& source);
    static void enter(Source& source);
    void leave(Source& source);

    std::atomic_flag lock = ATOMIC_FLAG_INIT;
    std::vector<Source*> sources;
    std::atomic<uint32_t> generation{0};
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable wake;
    std::atomic<int> count{0};  // of workers

    struct Guard {
        explicit Guard(std::atomic_flag& flag) : flag(flag) {
            Spin spin;
            while (flag.test_and_set(std::memory_order_acquire)) spin.once();
        }
        ~Guard() { flag.clear(std::memory_order_release); }
        std::atomic_flag& flag;
    };
};

// Work for one thread, or for the pool: what kernels get.
class PoolWork final : public Work {
  public:
    explicit PoolWork(int threads, const std::atomic<bool>* cancelled = nullptr, void (*poll)(void*) = nullptr,
                      void* poll_self = nullptr, Source* run = nullptr)
        : count(threads), stop(cancelled), poll(poll), poll_self(poll_self), run(run) {}
    int threads() const override { return count; }

  protected:
    void run_parts(int64_t n, void (*part)(void*, int64_t), void* self) override;

  private:
    int count;
    const std::atomic<bool>* stop;  // set when the run is to end
    void (*poll)(void*);            // called now and then on the caller's thread; may raise
    void* poll_self;
    Source* run;
};

}  // namespace fb
