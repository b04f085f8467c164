#include "runtime/executor.h"

#include <algorithm>
#include <chrono>

namespace fb {

namespace {

constexpr double worth_waking = 10000;     // ns: a shorter step does not wake a sleeping thread
constexpr double worth_splitting = 50000;  // ns: a longer update shares its parts

// Times a step while somebody records.
class Timed {
  public:
    Timed(const Plan& plan, int32_t step, const RunOptions& options) : on(Events::get().on()) {
        if (!on) return;
        event.plan = plan.number;
        event.step = step;
        event.run = options.run;
        event.thread = Pool::worker();
        event.start = now();
    }
    ~Timed() {
        if (!on) return;
        event.end = now();
        Events::get().write(event);
    }

  private:
    static double now() {
        using namespace std::chrono;
        return duration<double>(steady_clock::now().time_since_epoch()).count();
    }
    bool on;
    Event event;
};

void run_step(const Plan& plan, int32_t index, void** pointers, Work& work) {
    const Step& step = plan.steps[index];
    constexpr size_t few = few_operands;
    const void* some_in[few];
    void* some_out[few];
    std::vector<const void*> many_in;
    std::vector<void*> many_out;
    const void** in = some_in;
    void** out = some_out;
    if (step.inputs.size() > few) {
        many_in.resize(step.inputs.size());
        in = many_in.data();
    }
    if (step.outputs.size() > few) {
        many_out.resize(step.outputs.size());
        out = many_out.data();
    }
    for (size_t k = 0; k < step.inputs.size(); k++) in[k] = pointers[step.inputs[k]];
    for (size_t k = 0; k < step.outputs.size(); k++) out[k] = pointers[step.outputs[k]];
    step.kernel->run(work, in, out);
}

void set_views(const Plan& plan, int32_t base, void** pointers) {
    for (int32_t view : plan.views_of[base])
        pointers[view] = static_cast<char*>(pointers[base]) + plan.slots[view].offset;
}

// The host's own step, and where its outputs' views lie.
void perform(const Plan& plan, int32_t index, void** pointers, Host* host) {
    if (!host) throw Error("this plan has steps that need the program around it");
    host->perform(index, pointers);
    for (int32_t slot : plan.steps[index].outputs) set_views(plan, slot, pointers);
}

// Tells the host which of its values nobody needs any more.
class Lent {
  public:
    Lent(const Plan& plan, Host* host) : plan(plan), host(plan.has_host ? host : nullptr), left(plan.readers.size()) {
        for (size_t k = 0; k < left.size(); k++) left[k].store(plan.readers[k], std::memory_order_relaxed);
    }
    void finished(int32_t step) {
        if (!host) return;
        for (int32_t slot : plan.reads[step])
            if (left[slot].fetch_sub(1, std::memory_order_acq_rel) == 1) host->done(slot);
    }

  private:
    const Plan& plan;
    Host* host;
    std::vector<std::atomic<int32_t>> left;
};

[[noreturn]] void rethrow(int32_t step) {
    try {
        throw;
    } catch (const Cancelled&) {
        throw;
    } catch (const ShapeError& error) {
        throw StepError(step, error.what(), true);
    } catch (const Error& error) {
        throw StepError(step, error.what());
    }
}

// One thread, in the plan's order. Kernels may still split their work.
void run_in_order(const Plan& plan, void** pointers, const RunOptions& options) {
    auto poll = [](void* host) { static_cast<Host*>(host)->poll(); };
    PoolWork work(options.threads, nullptr, options.host ? +poll : nullptr, options.host);
    Lent lent(plan, options.host);
    for (int32_t i = 0; i < plan.main; lent.finished(i++)) {
        const Step& step = plan.steps[i];
        if (step.passive) continue;
        Timed timed(plan, i, options);
        if (step.kernel) {
            try {
                run_step(plan, i, pointers, work);
            } catch (...) {
                rethrow(i);
            }
            if (options.host && step.kernel->cost > worth_waking) options.host->poll();
        } else {
            perform(plan, i, pointers, options.host);
        }
    }
}

// Steps side by side: one of these is one run.
class Scheduler final : public Source {
  public:
    Scheduler(const Plan& plan, void** pointers, const RunOptions& options)
        : plan(plan), pointers(pointers), options(options), waits(plan.steps.size()), lent(plan, options.host) {
        for (int32_t i = 0; i < plan.main; i++) waits[i].store(plan.steps[i].waits, std::memory_order_relaxed);
        helpers = options.threads - 1;
        whole = true;
    }

    void run() {
        Pool& pool = Pool::get();
        pool.add(*this);
        try {
            auto ready = plan.ready.begin();
            for (int32_t begin = 0; begin < plan.main && !stop.load(std::memory_order_acquire); begin += Plan::stretch) {
                const int32_t end = std::min(begin + Plan::stretch, plan.main);
                left.store(end - begin, std::memory_order_relaxed);
                for (; ready != plan.ready.end() && *ready < end; ++ready) push(*ready);
                pool.notify();
                finish_all();
            }
        } catch (...) {
            fail(std::current_exception(), -1);
        }
        pool.remove(*this);
        if (failure) std::rethrow_exception(failure);
    }

    bool ready() const override {
        return count.load(std::memory_order_relaxed) > 0 && !stop.load(std::memory_order_relaxed);
    }

    void work() override {
        for (;;) {
            int32_t step = stop.load(std::memory_order_relaxed) ? -1 : take(false);
            if (step < 0) return;
            follow(step, false);
        }
    }

  private:
    // Until no step of the stretch is left.
    void finish_all() {
        Spin spin;
        while (left.load(std::memory_order_acquire) > 0 && !stop.load(std::memory_order_acquire)) {
            int32_t step = take(true);
            if (step >= 0) {
                follow(step, true);
                spin = Spin();
            } else if (Pool::get().help(this)) {
                spin = Spin();
            } else {
                spin.once();
            }
            if (options.host) options.host->poll();
        }
    }

    // Runs a step and then, as long as there are any, one of those that it made ready.
    void follow(int32_t step, bool caller) {
        while (step >= 0 && !stop.load(std::memory_order_relaxed)) {
            try {
                run_one(step, caller);
            } catch (...) {
                fail(std::current_exception(), step);
                return;
            }
            step = finish(step, caller);
        }
    }

    void run_one(int32_t index, bool caller) {
        const Step& step = plan.steps[index];
        if (step.passive) return;
        Timed timed(plan, index, options);
        if (step.kernel) {
            auto poll = [](void* host) { static_cast<Host*>(host)->poll(); };
            bool polls = caller && options.host;
            PoolWork work(options.threads, &stop, polls ? +poll : nullptr, options.host, this);
            try {
                run_step(plan, index, pointers, work);
            } catch (...) {
                rethrow(index);
            }
        } else {
            perform(plan, index, pointers, options.host);
        }
    }

    // The steps that waited for this one have one less to wait for; returns one to go on with, or -1.
    int32_t finish(int32_t index, bool caller) {
        lent.finished(index);
        int32_t next = -1;
        bool wake = false;
        for (int32_t other : plan.steps[index].successors) {
            if (waits[other].fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
            if (plan.steps[other].host() && !caller) {
                push(other);
            } else if (next < 0) {
                next = other;
            } else {
                bool better = plan.steps[other].priority > plan.steps[next].priority;
                int32_t pushed = better ? next : other;
                if (better) next = other;
                push(pushed);
                wake = wake || plan.steps[pushed].priority > worth_waking;
            }
        }
        if (wake) Pool::get().notify();
        left.fetch_sub(1, std::memory_order_release);
        return next;
    }

    void push(int32_t step) {
        std::lock_guard hold(mutex);
        auto& heap = plan.steps[step].host() ? for_host : heap_;
        heap.push_back(step);
        std::push_heap(heap.begin(), heap.end(), [this](int32_t a, int32_t b) { return less(a, b); });
        if (&heap == &heap_) count.store(static_cast<int32_t>(heap_.size()), std::memory_order_relaxed);
    }

    int32_t take(bool caller) {
        std::lock_guard hold(mutex);
        auto& heap = caller && !for_host.empty() ? for_host : heap_;
        if (heap.empty()) return -1;
        std::pop_heap(heap.begin(), heap.end(), [this](int32_t a, int32_t b) { return less(a, b); });
        int32_t step = heap.back();
        heap.pop_back();
        count.store(static_cast<int32_t>(heap_.size()), std::memory_order_relaxed);
        return step;
    }

    bool less(int32_t a, int32_t b) const {
        double x = plan.steps[a].priority, y = plan.steps[b].priority;
        return x != y ? x < y : a > b;
    }

    // Keeps what went wrong: of several, that of the earliest step.
    void fail(std::exception_ptr error, int32_t step) {
        std::lock_guard hold(mutex);
        if (!failure || step < failed) {
            failure = std::move(error);
            failed = step;
        }
        stop.store(true, std::memory_order_release);
    }

    const Plan& plan;
    void** pointers;
    const RunOptions& options;
    std::vector<std::atomic<int32_t>> waits;
    Lent lent;
    std::atomic<int32_t> left{0};  // steps of the stretch
    std::atomic<int32_t> count{0};  // of heap_, to look at without the lock
    std::atomic<bool> stop{false};
    std::mutex mutex;
    std::vector<int32_t> heap_, for_host;
    std::exception_ptr failure;
    int32_t failed = 0;
};

}  // namespace

void execute(const Plan& plan, void** pointers, const RunOptions& options) {
    Arena arena(plan.arena_bytes);
    execute(plan, pointers, options, arena);
}

void execute(const Plan& plan, void** pointers, const RunOptions& options, Arena& arena) {
    for (size_t k = 0; k < plan.slots.size(); k++)
        if (plan.slots[k].kind == Slot::arena) pointers[k] = arena.data() + plan.slots[k].offset;
    for (int32_t view : plan.views) {
        void* base = pointers[plan.slots[view].base];
        pointers[view] = base ? static_cast<char*>(base) + plan.slots[view].offset : nullptr;
    }
    if (options.threads > 1 && plan.cost > worth_waking) Pool::get().reserve(options.threads);
    if (options.threads > 1 && plan.parallel)
        Scheduler(plan, pointers, options).run();
    else
        run_in_order(plan, pointers, options);
}

void update(const Plan& plan, void** pointers, const RunOptions& options) {
    const Scratch at_hand(1);
    const int32_t end = static_cast<int32_t>(plan.steps.size());
    auto run = [&](int32_t i, Work& work) {
        Timed timed(plan, i, options);
        run_step(plan, i, pointers, work);
    };
    PoolWork all(options.threads), alone(1);
    // Large ones share their parts. Small ones go side by side, in runs of so many that each is worth a thread.
    const bool many = options.threads > 1 && plan.update_cost > worth_waking;
    if (many) Pool::get().reserve(options.threads);
    double small = 0;
    int32_t count = 0;
    for (int32_t i = plan.main; i < end; i++) {
        if (many && plan.steps[i].kernel->cost > worth_splitting) {
            run(i, all);
        } else {
            small += plan.steps[i].kernel->cost;
            count++;
        }
    }
    if (count == 0) return;
    const int64_t parts = many ? std::clamp<int64_t>(static_cast<int64_t>(small / worth_waking), 1, count) : 1;
    all.parallel(parts, [&](int64_t part) {
        int64_t number = 0;
        for (int32_t i = plan.main; i < end; i++) {
            if (many && plan.steps[i].kernel->cost > worth_splitting) continue;
            if (number++ * parts / count == part) run(i, alone);
        }
    });
}

}  // namespace fb
