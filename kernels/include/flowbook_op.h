/* flowbook_op.h: write your own operator.
 *
 * An operator is a function from arrays to arrays that flowbook runs like its own: in cells, in the stepper, timed, and
 * without Python in between. This header is all that it is written against. A complete one, with its gradient:
 *
 *     // swish.cpp: y = x * sigmoid(x)
 *     #include <flowbook_op.h>
 *     #include <cmath>
 *
 *     FLOWBOOK_FLOAT_OP(swish) {                        // T is the dtype of input 0: float or double
 *         auto x = in<T>(0);
 *         auto y = out<T>(0);
 *         parallel(x.size, [&](int64_t i) { y[i] = x[i] / (1 + std::exp(-x[i])); });
 *     }
 *
 *     FLOWBOOK_FLOAT_OP(swish_grad) {
 *         auto x = in<T>(0), dy = in<T>(1);
 *         auto dx = out<T>(0);
 *         parallel(x.size, [&](int64_t i) {
 *             T s = 1 / (1 + std::exp(-x[i]));
 *             dx[i] = dy[i] * s * (1 + x[i] * (1 - s));
 *         });
 *     }
 *
 *     # Python
 *     swish_grad = fb.native_op(file="swish.cpp", name="swish_grad", inputs=("x", "dy"))
 *     swish = fb.native_op(file="swish.cpp", name="swish",
 *                          gradient=lambda node, dy: swish_grad(node.inputs[0], dy))
 *     y = swish(x)
 *
 * `fb.native_op` compiles the text (also text that stands in a notebook), loads it, and returns the function. Shape rule
 * and gradient are Python; see its documentation. Shapes and dtypes of outputs are what the rule says, and flowbook has
 * allocated them. Inputs are contiguous (row-major), unless the operator says `FLOWBOOK_STRIDED_OP(name)`: then they lie
 * as they lie, and are read with `x(i, j)` or the strides. Outputs are contiguous, are not cleared, and never overlap an
 * input. Inputs must not be written.
 *
 * In the body of an operator there are:
 *
 *     in<T>(k), out<T>(k)     input and output k. T has to be its dtype: bool, int8_t ... uint64_t, float, double.
 *     x.size, x.rank          how many elements, how many axes
 *     x.shape[a]              the size of axis a
 *     x[i]                    element i in row-major order (of contiguous arrays)
 *     x(i, j)                 by indices, one for each axis
 *     x.data, x.strides[a]    the memory, and how many elements lie between neighbours along axis a
 *     inputs(), outputs()     how many there are
 *     dtype_in(k), dtype_out(k)
 *     integer("axis"), real("alpha"), text("mode"), flag("causal"), integers("window"), reals("weights"), has("axis")
 *                             attributes by name
 *     parallel(n, f)          f(0) ... f(n - 1), in any order, on flowbook's threads; back when all are done. It cuts n
 *                             into parts by the size of the arrays; parallel(n, f, grain) cuts parts of `grain`.
 *     parallel_ranges(n, f)   the same with f(begin, end)
 *     fail("text")            ends the operator with an error; any exception does, too. The user sees the text, the
 *                             node, its line and its inputs.
 *     with_float(dtype_in(0), [&](auto zero) { using T = decltype(zero); ... })     for operators of several dtypes
 *     with_number(...)        the same for all dtypes but bool
 *
 * An operator may run several times at once, on any thread. What it computes must depend on its inputs and attributes
 * only; keep nothing between calls.
 *
 * The part above `#ifdef __cplusplus` is the whole binary interface: plain C, and no exception crosses it. An operator
 * in C defines a `const flowbook_op flowbook_op_NAME` itself.
 */
#ifndef FLOWBOOK_OP_H
#define FLOWBOOK_OP_H

#include <stddef.h>
#include <stdint.h>

/* Counts up when what is below changes so that operators have to be compiled again. Loading checks it. */
#define FLOWBOOK_OP_ABI 1
#define FLOWBOOK_OP_MAX_RANK 8

#ifdef __cplusplus
extern "C" {
#endif

typedef enum flowbook_dtype {
    FLOWBOOK_BOOL = 0,
    FLOWBOOK_INT8 = 1,
    FLOWBOOK_INT16 = 2,
    FLOWBOOK_INT32 = 3,
    FLOWBOOK_INT64 = 4,
    FLOWBOOK_UINT8 = 5,
    FLOWBOOK_UINT16 = 6,
    FLOWBOOK_UINT32 = 7,
    FLOWBOOK_UINT64 = 8,
    FLOWBOOK_FLOAT32 = 9,
    FLOWBOOK_FLOAT64 = 10
} flowbook_dtype;

/* Strides count elements; they may be 0 or negative (of strided operators). Beyond `rank`, shape and strides are 0. */
typedef struct flowbook_array {
    void* data;
    int32_t dtype;
    int32_t rank;
    int64_t size;
    int64_t shape[FLOWBOOK_OP_MAX_RANK];
    int64_t strides[FLOWBOOK_OP_MAX_RANK];
} flowbook_array;

typedef enum flowbook_kind {
    FLOWBOOK_NONE = 0,
    FLOWBOOK_INTEGERS = 1, /* an int, a bool (0 or 1), or a tuple of ints */
    FLOWBOOK_REALS = 2,
    FLOWBOOK_TEXT = 3
} flowbook_kind;

/* `count` numbers; of a text, bytes before its closing 0. */
typedef struct flowbook_attribute {
    const char* name;
    int32_t kind;
    int32_t single; /* 1: one number, 0: a tuple */
    int64_t count;
    const int64_t* integers;
    const double* reals;
    const char* text;
} flowbook_attribute;

/* One call of an operator. */
typedef struct flowbook_call {
    uint32_t abi;
    uint32_t size; /* of this struct, in bytes: later versions may be longer */
    int32_t input_count;
    int32_t output_count;
    int32_t attribute_count;
    int32_t threads;
    const flowbook_array* inputs; /* their data must not be written */
    const flowbook_array* outputs;
    const flowbook_attribute* attributes;
    /* body(self, 0) ... body(self, parts - 1), in any order, on any thread; back when all are done. `body` must not
       raise. Anything but 0 means that the run is to end: return it from the operator at once. */
    int (*parallel)(const struct flowbook_call* call, int64_t parts, void (*body)(void* self, int64_t part), void* self);
    /* Keeps a copy of a message (UTF-8) for the error that follows; the operator then returns 1. */
    void (*fail)(const struct flowbook_call* call, const char* message);
    void* runtime; /* flowbook's own */
} flowbook_call;

enum { FLOWBOOK_OP_STRIDED = 1 };

/* What a library exports for each operator, as `flowbook_op_NAME`. `run` returns 0 when all is well. */
typedef struct flowbook_op {
    uint32_t abi; /* FLOWBOOK_OP_ABI */
    uint32_t flags;
    const char* name;
    int (*run)(const flowbook_call* call);
} flowbook_op;

#ifdef __cplusplus
} /* extern "C" */
#endif

#if defined(_WIN32)
#define FLOWBOOK_OP_EXPORT __declspec(dllexport)
#else
#define FLOWBOOK_OP_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus

#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace flowbook {

template <class T> constexpr int dtype_of() {
    static_assert(std::is_arithmetic<T>::value && sizeof(T) <= 8 && !std::is_same<T, long double>::value,
                  "an array is of bool, an integer type, float or double");
    if (std::is_same<T, bool>::value) return FLOWBOOK_BOOL;
    if (std::is_floating_point<T>::value) return sizeof(T) == 4 ? FLOWBOOK_FLOAT32 : FLOWBOOK_FLOAT64;
    int place = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return (std::is_signed<T>::value ? FLOWBOOK_INT8 : FLOWBOOK_UINT8) + place;
}

inline const char* dtype_name(int dtype) {
    static const char* const names[] = {"bool",  "int8",   "int16",  "int32",   "int64",  "uint8",
                                        "uint16", "uint32", "uint64", "float32", "float64"};
    return dtype >= 0 && dtype <= FLOWBOOK_FLOAT64 ? names[dtype] : "an unknown dtype";
}

template <class F> void with_float(int dtype, F&& f) {
    if (dtype == FLOWBOOK_FLOAT32) return f(0.0f);
    if (dtype == FLOWBOOK_FLOAT64) return f(0.0);
    throw std::runtime_error("this is for float32 and float64, not for " + std::string(dtype_name(dtype)));
}

template <class F> void with_number(int dtype, F&& f) {
    switch (dtype) {
        case FLOWBOOK_INT8: return f(int8_t{});
        case FLOWBOOK_INT16: return f(int16_t{});
        case FLOWBOOK_INT32: return f(int32_t{});
        case FLOWBOOK_INT64: return f(int64_t{});
        case FLOWBOOK_UINT8: return f(uint8_t{});
        case FLOWBOOK_UINT16: return f(uint16_t{});
        case FLOWBOOK_UINT32: return f(uint32_t{});
        case FLOWBOOK_UINT64: return f(uint64_t{});
        default: return with_float(dtype, f);
    }
}

// An array as an operator sees it. T is const for inputs.
template <class T> struct Array {
    T* data;
    int64_t size;
    int rank;
    const int64_t* shape;
    const int64_t* strides;

    T& operator[](int64_t i) const { return data[i]; }
    template <class... I> T& operator()(I... index) const {
        const int64_t at[] = {static_cast<int64_t>(index)..., 0};
        int64_t place = 0;
        for (size_t a = 0; a < sizeof...(I); a++) place += at[a] * strides[a];
        return data[place];
    }
    T* begin() const { return data; }
    T* end() const { return data + size; }
};

// Ends an operator because the run has ended.
struct Stopped {};

// What the body of an operator is a member of.
class Op {
  public:
    explicit Op(const flowbook_call* call) : call_(call) {}

    int inputs() const { return call_->input_count; }
    int outputs() const { return call_->output_count; }
    int threads() const { return call_->threads; }
    int dtype_in(int k) const { return at(call_->inputs, inputs(), k, "input").dtype; }
    int dtype_out(int k) const { return at(call_->outputs, outputs(), k, "output").dtype; }

    template <class T> Array<const T> in(int k) const {
        const flowbook_array& a = checked<T>(at(call_->inputs, inputs(), k, "input"), k, "input");
        return {static_cast<const T*>(a.data), a.size, a.rank, a.shape, a.strides};
    }
    template <class T> Array<T> out(int k) const {
        const flowbook_array& a = checked<T>(at(call_->outputs, outputs(), k, "output"), k, "output");
        return {static_cast<T*>(a.data), a.size, a.rank, a.shape, a.strides};
    }

    template <class F> static void with_float(int dtype, F&& f) { flowbook::with_float(dtype, f); }
    template <class F> static void with_number(int dtype, F&& f) { flowbook::with_number(dtype, f); }

    [[noreturn]] static void fail(const std::string& message) { throw std::runtime_error(message); }

    bool has(const char* name) const {
        const flowbook_attribute* a = find(name);
        return a && a->kind != FLOWBOOK_NONE;
    }
    int64_t integer(const char* name) const {
        const flowbook_attribute& a = get(name);
        if (a.kind != FLOWBOOK_INTEGERS || !a.single) wrong(name, "an int");
        return a.integers[0];
    }
    bool flag(const char* name) const { return integer(name) != 0; }
    double real(const char* name) const {
        const flowbook_attribute& a = get(name);
        if (a.kind == FLOWBOOK_TEXT || !a.single) wrong(name, "a number");
        return a.kind == FLOWBOOK_REALS ? a.reals[0] : static_cast<double>(a.integers[0]);
    }
    std::string text(const char* name) const {
        const flowbook_attribute& a = get(name);
        if (a.kind != FLOWBOOK_TEXT) wrong(name, "a text");
        return std::string(a.text, static_cast<size_t>(a.count));
    }
    // A tuple, or one number alone.
    std::vector<int64_t> integers(const char* name) const {
        const flowbook_attribute& a = get(name);
        if (a.kind != FLOWBOOK_INTEGERS && a.count) wrong(name, "a tuple of ints");
        return std::vector<int64_t>(a.integers, a.integers + a.count);
    }
    std::vector<double> reals(const char* name) const {
        const flowbook_attribute& a = get(name);
        if (a.kind == FLOWBOOK_TEXT) wrong(name, "a tuple of numbers");
        if (a.kind == FLOWBOOK_REALS) return std::vector<double>(a.reals, a.reals + a.count);
        return std::vector<double>(a.integers, a.integers + a.count);
    }

    template <class F> void parallel(int64_t n, F&& f, int64_t grain = 0) const {
        parallel_ranges(n, [&f](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) f(i);
        }, grain);
    }

    template <class F> void parallel_ranges(int64_t n, F&& f, int64_t grain = 0) const {
        if (n <= 0) return;
        if (grain <= 0) grain = usual_grain(n);
        if (grain >= n) return f(int64_t{0}, n);
        Parts<F> parts{f, n, grain};
        int status = call_->parallel(call_, (n - 1) / grain + 1, &Parts<F>::run, &parts);
        if (parts.failure) std::rethrow_exception(parts.failure);
        if (status) throw Stopped();
    }

  private:
    template <class F> struct Parts {
        F& f;
        int64_t n, grain;
        std::atomic<bool> failed{false};
        std::mutex mutex{};
        std::exception_ptr failure{};

        static void run(void* self, int64_t part) noexcept {
            Parts& all = *static_cast<Parts*>(self);
            if (all.failed.load(std::memory_order_relaxed)) return;
            int64_t begin = part * all.grain, left = all.n - begin;
            try {
                all.f(begin, begin + (left < all.grain ? left : all.grain));
            } catch (...) {
                std::lock_guard<std::mutex> guard(all.mutex);
                if (!all.failure) all.failure = std::current_exception();
                all.failed = true;
            }
        }
    };

    // Parts of about 50,000 elements of all arrays together (20 to 100 us of work): what follows from shapes only.
    int64_t usual_grain(int64_t n) const {
        int64_t elements = 0;
        for (int k = 0; k < inputs(); k++) elements += call_->inputs[k].size;
        for (int k = 0; k < outputs(); k++) elements += call_->outputs[k].size;
        int64_t each = elements / n + 1;
        return each >= 49152 ? 1 : 49152 / each;
    }

    static const flowbook_array& at(const flowbook_array* arrays, int count, int k, const char* what) {
        if (k < 0 || k >= count)
            fail("there is no " + std::string(what) + " " + std::to_string(k) + ", only " + std::to_string(count));
        return arrays[k];
    }
    template <class T> static const flowbook_array& checked(const flowbook_array& a, int k, const char* what) {
        if (a.dtype != dtype_of<T>())
            fail(what + (" " + std::to_string(k)) + " is " + dtype_name(a.dtype) + ", the C++ code takes it for " +
                 dtype_name(dtype_of<T>()));
        return a;
    }
    const flowbook_attribute* find(const char* name) const {
        for (int k = 0; k < call_->attribute_count; k++)
            if (std::strcmp(call_->attributes[k].name, name) == 0) return &call_->attributes[k];
        return nullptr;
    }
    const flowbook_attribute& get(const char* name) const {
        const flowbook_attribute* a = find(name);
        if (!a) fail("there is no attribute '" + std::string(name) + "'");
        if (a->kind == FLOWBOOK_NONE) fail("attribute '" + std::string(name) + "' is None");
        return *a;
    }
    [[noreturn]] static void wrong(const char* name, const char* wanted) {
        fail("attribute '" + std::string(name) + "' is not " + wanted);
    }

    const flowbook_call* call_;
};

// Calls f, and makes a status and a message of whatever it raises.
template <class F> int guarded(const flowbook_call* call, F&& f) noexcept {
    try {
        f();
        return 0;
    } catch (const Stopped&) {
    } catch (const std::exception& error) {
        call->fail(call, error.what());
    } catch (...) {
        call->fail(call, "the C++ code threw something that is no std::exception");
    }
    return 1;
}

template <class Body> int run(const flowbook_call* call) {
    return guarded(call, [&] { Body(call).run(); });
}

template <template <class> class Body> int run_float(const flowbook_call* call) {
    return guarded(call, [&] {
        with_float(Op(call).dtype_in(0), [&](auto zero) { Body<decltype(zero)>(call).run(); });
    });
}

}  // namespace flowbook

#define FLOWBOOK_DEFINE_(name, flags, run)                                         \
    extern "C" FLOWBOOK_OP_EXPORT const flowbook_op flowbook_op_##name;            \
    extern "C" const flowbook_op flowbook_op_##name = {FLOWBOOK_OP_ABI, flags, #name, run};

#define FLOWBOOK_BODY_(name, flags)                                                \
    struct flowbook_body_##name : flowbook::Op {                                   \
        using flowbook::Op::Op;                                                    \
        void run();                                                                \
    };                                                                             \
    FLOWBOOK_DEFINE_(name, flags, &flowbook::run<flowbook_body_##name>)            \
    void flowbook_body_##name::run()

// FLOWBOOK_OP(name) { ... }: an operator.
#define FLOWBOOK_OP(name) FLOWBOOK_BODY_(name, 0)
// One whose inputs may have any strides.
#define FLOWBOOK_STRIDED_OP(name) FLOWBOOK_BODY_(name, FLOWBOOK_OP_STRIDED)
// One whose body is compiled for float and for double: T is the dtype of input 0.
#define FLOWBOOK_FLOAT_OP(name)                                                    \
    template <class T> struct flowbook_body_##name : flowbook::Op {                \
        using flowbook::Op::Op;                                                    \
        void run();                                                                \
    };                                                                             \
    FLOWBOOK_DEFINE_(name, 0, &flowbook::run_float<flowbook_body_##name>)          \
    template <class T> void flowbook_body_##name<T>::run()

#endif /* __cplusplus */
#endif /* FLOWBOOK_OP_H */
