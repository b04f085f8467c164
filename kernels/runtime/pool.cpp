#include "runtime/pool.h"

#include <algorithm>
#include <chrono>

#include <csignal>
#include <cstdlib>
#include <system_error>

#include <pthread.h>
#include <sched.h>

namespace fb {

namespace {

constexpr size_t usual_sources = 1024;  // so many at a time are added without memory for them
constexpr auto spin_time = std::chrono::microseconds(60);

thread_local int worker_number = 0;
Pool* the_pool = nullptr;
std::once_flag made;

void make() {
    the_pool = new Pool;  // never deleted: workers may outlive everything else
    // A forked child has none of the threads, so it gets a pool of its own.
    pthread_atfork(nullptr, nullptr, [] { the_pool = new Pool; });
}

}  // namespace

Pool::Pool() { sources.reserve(usual_sources); }

Pool& Pool::get() {
    std::call_once(made, make);
    return *the_pool;
}

int Pool::cpus() {
    const char* asked = std::getenv("FLOWBOOK_THREADS");
    if (asked && std::atoi(asked) > 0) return std::atoi(asked);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
#endif
    return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

void Pool::reserve(int threads) {
    if (count.load(std::memory_order_relaxed) >= threads - 1) return;
    std::lock_guard hold(mutex);
    // Signals are for the program's own threads: Ctrl-C has to reach one that waits for it.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        while (count < threads - 1) {
            int number = count + 1;
            std::thread([this, number] { loop(number); }).detach();
            count = number;
        }
    } catch (const std::system_error&) {
        // The system gives no more threads; runs go on with those that there are.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::add(Source& source) {
    {
        Guard guard(lock);
        sources.push_back(&source);
    }
    notify();
}

void Pool::remove(Source& source) {
    {
        Guard guard(lock);
        sources.erase(std::find(sources.begin(), sources.end(), &source));
    }
    // `inside` only falls from here on, as nobody can find the source any more.
    Spin spin;
    for (;;) {
        {
            Guard guard(lock);
            if (source.inside == 0) return;
        }
        spin.once();
    }
}

void Pool::notify() {
    generation.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
        std::lock_guard hold(mutex);
        wake.notify_all();
    }
}

// Whether one more worker may go in, and would find something.
bool Pool::open(const Source& source) {
    const Source& run = source.part_of ? *source.part_of : source;
    return run.inside + run.inside_parts < run.helpers && source.ready();
}

void Pool::enter(Source& source) {
    source.inside++;
    if (source.part_of) source.part_of->inside_parts++;
}

void Pool::leave(Source& source) {
    Guard guard(lock);
    source.inside--;
    if (source.part_of) source.part_of->inside_parts--;
}

Source* Pool::pick() {
    Guard guard(lock);
    for (bool whole : {true, false})
        for (auto it = sources.rbegin(); it != sources.rend(); ++it)
            if ((*it)->whole == whole && open(**it)) {
                enter(**it);
                return *it;
            }
    return nullptr;
}

bool Pool::help(Source* run) {
    Source* found = nullptr;
    {
        Guard guard(lock);
        for (Source* each : sources)
            if (each->part_of == run && each->ready()) found = each;
        if (!found) return false;
        found->inside++;  // the run's own thread: it takes nobody's place
    }
    found->work();
    Guard guard(lock);
    found->inside--;
    return true;
}

int Pool::worker() { return worker_number; }

void Pool::loop(int number) {
    worker_number = number;
    { const Scratch at_hand(1); }  // from now on there is some
    using clock = std::chrono::steady_clock;
    for (;;) {
        uint32_t seen = generation.load(std::memory_order_seq_cst);
        if (Source* source = pick()) {
            source->work();
            leave(*source);
            continue;
        }
        auto until = clock::now() + spin_time;
        bool changed = false;
        while (!changed && clock::now() < until) {
            for (int i = 0; i < 32 && !changed; i++) {
#if defined(__x86_64__)
                __builtin_ia32_pause();
#endif
                changed = generation.load(std::memory_order_relaxed) != seen;
            }
        }
        if (changed) continue;
        std::unique_lock hold(mutex);
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        wake.wait(hold, [&] { return generation.load(std::memory_order_seq_cst) != seen; });
        sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
}

namespace {

// The parts of one kernel call.
class Parts final : public Source {
  public:
    Parts(int64_t n, void (*part)(void*, int64_t), void* self, const std::atomic<bool>* stop)
        : n(n), part(part), self(self), stop(stop) {}

    bool ready() const override { return next.load(std::memory_order_relaxed) < n; }

    void work() override {
        while (step()) {
        }
    }

    // One part; false when none is left.
    bool step() {
        int64_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= n) return false;
        try {
            if (stop && stop->load(std::memory_order_relaxed)) throw Cancelled();
            part(self, i);
        } catch (...) {
            fail(std::current_exception());
        }
        return true;
    }

    void fail(std::exception_ptr error) {
        std::lock_guard hold(mutex);
        if (!failure) failure = std::move(error);
        next.store(n, std::memory_order_relaxed);
    }

    std::exception_ptr failure;

  private:
    std::mutex mutex;
    int64_t n;
    void (*part)(void*, int64_t);
    void* self;
    const std::atomic<bool>* stop;
    std::atomic<int64_t> next{0};
};

}  // namespace

void PoolWork::run_parts(int64_t n, void (*part)(void*, int64_t), void* self) {
    if (count <= 1 && !stop) {
        for (int64_t i = 0; i < n; i++) part(self, i);
        return;
    }
    Parts parts(n, part, self, stop);
    parts.helpers = count - 1;
    parts.part_of = run;
    Pool& pool = Pool::get();
    if (count > 1) pool.add(parts);
    bool more = true;
    while (more) {
        more = parts.step();
        if (poll && more) {
            try {
                poll(poll_self);
            } catch (...) {
                parts.fail(std::current_exception());
            }
        }
    }
    if (count > 1) pool.remove(parts);
    if (parts.failure) std::rethrow_exception(parts.failure);
}

}  // namespace fb
