// What a kernel is, and what it may ask of whoever runs it.
//
// A kernel is prepared once for fixed shapes, strides and attributes, and then run any number of times, on any thread,
// also several times at once: `run` is const. What it computes depends on the logical elements of its inputs only:
// never on strides, on the number of threads or on load. So work is split by shape, and sums are added up in an order
// that the shape decides.
#pragma once

#include "runtime/scratch.h"
#include "runtime/types.h"

#include <functional>
#include <memory>

namespace fb {

// The shapes and attributes a kernel is prepared for. Outputs are always contiguous.
struct Signature {
    std::vector<Spec> inputs;
    std::vector<Spec> outputs;
    Attrs attrs;
};

// Runs the parts of one kernel call. Implemented by the runtime; a kernel only calls it.
class FB_VISIBLE Work {
  public:
    virtual ~Work() = default;

    // f(0) ... f(n - 1), in any order, on any thread, the caller's among them; back when all are done. An exception
    // ends it, and is raised here. `n` has to follow from shapes, never from `threads()`. Parts of about 20 to 200 us
    // are best; for less than about 10 us of work in all call f yourself.
    template <class F> void parallel(int64_t n, F&& f) {
        if (n <= 0) return;
        if (n == 1) return f(int64_t{0});
        using Plain = std::remove_reference_t<F>;
        run_parts(n, [](void* self, int64_t i) { (*static_cast<Plain*>(self))(i); },
                  const_cast<void*>(static_cast<const void*>(&f)));
    }

    virtual int threads() const = 0;

  protected:
    virtual void run_parts(int64_t n, void (*part)(void*, int64_t), void* self) = 0;
};

class FB_VISIBLE Kernel {
  public:
    virtual ~Kernel() = default;

    // Inputs and outputs in the order of the signature. Outputs never overlap inputs, unless `may_lie` says so.
    virtual void run(Work& work, const void* const* inputs, void* const* outputs) const = 0;

    // Estimated time on one core, in nanoseconds: what scheduling goes by.
    double cost = 1000;
    // By output, a bit for each input in whose very memory it may lie, others doing the same with others; outputs after
    // the last of these may lie in none.
    std::vector<uint64_t> in_place;
    // Whether `run` cannot fail where each thread has `sure_bytes` of scratch.
    bool sure = false;

    bool may_lie(size_t output, size_t input) const {
        return output < in_place.size() && input < 64 && in_place[output] >> input & 1;
    }
};

// Gives the kernel for a signature, or nullptr when it has none for it (a dtype, a rank, an attribute): the reference
// kernel is used then. Raises Error for what no graph should contain.
using Factory = std::unique_ptr<Kernel> (*)(const Signature&);

struct Entry {
    const char* name;
    Factory make;
};

// What a library of kernels exports, as `fb_kernels`: a table that ends with {nullptr, nullptr}.
using Table = const Entry* (*)();

// A prepared kernel from a lambda `f(work, inputs, outputs)`.
template <class F> class FunctionKernel final : public Kernel {
  public:
    FunctionKernel(double nanoseconds, F f) : function(std::move(f)) { cost = nanoseconds; }
    void run(Work& work, const void* const* inputs, void* const* outputs) const override {
        function(work, inputs, outputs);
    }

  private:
    F function;
};

template <class F> std::unique_ptr<Kernel> kernel(double nanoseconds, F f) {
    return std::make_unique<FunctionKernel<F>>(nanoseconds, std::move(f));
}

}  // namespace fb
