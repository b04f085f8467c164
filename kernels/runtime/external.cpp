#include "runtime/external.h"

#include "flowbook_op.h"
#include "runtime/library.h"

#include <algorithm>
#include <mutex>

#include <dlfcn.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace fb {

namespace {

static_assert(FLOWBOOK_OP_MAX_RANK == max_rank, "flowbook_op.h and types.h disagree");
static_assert(FLOWBOOK_FLOAT64 == static_cast<int>(DType::f64) && FLOWBOOK_UINT8 == static_cast<int>(DType::u8));

flowbook_array described(const Spec& spec) {
    flowbook_array a = {};
    a.dtype = static_cast<int32_t>(spec.dtype);
    a.rank = spec.rank;
    a.size = spec.size();
    for (int i = 0; i < spec.rank; i++) {
        a.shape[i] = spec.shape[i];
        a.strides[i] = spec.stride[i];
    }
    return a;
}

// Attributes in the form of flowbook_op.h. They refer to the Attrs that they are made of.
std::vector<flowbook_attribute> described(const Attrs& attrs) {
    std::vector<flowbook_attribute> found;
    for (auto& [name, attr] : attrs.all) {
        flowbook_attribute a = {};
        a.name = name.c_str();
        a.integers = attr.i.data();
        a.reals = attr.r.data();
        a.text = attr.s.c_str();
        a.single = attr.kind == Attr::integer || attr.kind == Attr::real || attr.kind == Attr::text;
        switch (attr.kind) {
            case Attr::integer:
            case Attr::integers: a.kind = FLOWBOOK_INTEGERS, a.count = static_cast<int64_t>(attr.i.size()); break;
            case Attr::real:
            case Attr::reals: a.kind = FLOWBOOK_REALS, a.count = static_cast<int64_t>(attr.r.size()); break;
            case Attr::text: a.kind = FLOWBOOK_TEXT, a.count = static_cast<int64_t>(attr.s.size()); break;
            case Attr::none: a.kind = FLOWBOOK_NONE; break;
            case Attr::list: throw Error("attribute '" + name + "' is no plain value");
        }
        found.push_back(a);
    }
    return found;
}

// What a call is on flowbook's side.
struct Running {
    Work& work;
    std::string message{};
    std::exception_ptr ended{};
};

int parallel(const flowbook_call* call, int64_t parts, void (*body)(void*, int64_t), void* self) {
    auto running = static_cast<Running*>(call->runtime);
    try {
        running->work.parallel(parts, [&](int64_t part) { body(self, part); });
        return 0;
    } catch (...) {  // the run is to end
        running->ended = std::current_exception();
        return 1;
    }
}

void fail(const flowbook_call* call, const char* message) {
    try {
        static_cast<Running*>(call->runtime)->message = message ? message : "";
    } catch (...) {  // no memory for it
    }
}

class External final : public Kernel {
  public:
    External(const flowbook_op& op, const Signature& signature) : op(op), attrs(signature.attrs) {
        double elements = 0;
        for (auto& each : signature.inputs) elements += static_cast<double>(each.size());
        for (auto& each : signature.outputs) elements += static_cast<double>(each.size());
        cost = 6000 + elements;  // nobody knows; enough that others get the GIL meanwhile
        auto told = attrs.all.find(nanoseconds_attribute);
        if (told != attrs.all.end()) {
            cost = std::max(cost, attrs.real(nanoseconds_attribute));
            attrs.all.erase(told);
        }
        for (auto& each : signature.inputs) inputs.push_back(described(each));
        for (auto& each : signature.outputs) outputs.push_back(described(each));
        attributes = described(attrs);
    }

    void run(Work& work, const void* const* in, void* const* out) const override {
        std::vector<flowbook_array> read = inputs, written = outputs;
        for (size_t k = 0; k < read.size(); k++) read[k].data = const_cast<void*>(in[k]);
        for (size_t k = 0; k < written.size(); k++) written[k].data = out[k];
        Running running{work};
        flowbook_call call = {};
        call.abi = FLOWBOOK_OP_ABI;
        call.size = sizeof call;
        call.input_count = static_cast<int32_t>(read.size());
        call.output_count = static_cast<int32_t>(written.size());
        call.attribute_count = static_cast<int32_t>(attributes.size());
        call.threads = work.threads();
        call.inputs = read.data();
        call.outputs = written.data();
        call.attributes = attributes.data();
        call.parallel = parallel;
        call.fail = fail;
        call.runtime = &running;
        int status = op.run(&call);
        if (running.ended) std::rethrow_exception(running.ended);
        if (status == 0) return;
        if (running.message.empty()) running.message = "it returned status " + std::to_string(status);
        throw Error(running.message);
    }

  private:
    const flowbook_op& op;
    Attrs attrs;
    std::vector<flowbook_array> inputs, outputs;
    std::vector<flowbook_attribute> attributes;
};

// Libraries linked with -ffast-math switch tiny numbers off for the thread that loads them, and for threads that it
// starts. That would change what all other kernels compute.
void* load(const char* path) {
#if defined(__x86_64__)
    unsigned int mode = _mm_getcsr();
    void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    _mm_setcsr(mode);
    return handle;
#else
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
#endif
}

}  // namespace

std::string load_external(const std::string& path, const std::string& name) {
    static std::mutex mutex;
    static std::map<std::pair<std::string, std::string>, std::string> loaded;
    std::lock_guard<std::mutex> guard(mutex);
    std::string& known = loaded[{path, name}];
    if (!known.empty()) return known;
    void* handle = load(path.c_str());
    if (!handle) throw Error(std::string("the library does not load: ") + dlerror());
    auto op = static_cast<const flowbook_op*>(dlsym(handle, ("flowbook_op_" + name).c_str()));
    if (!op) throw Error("the library has no operator '" + name + "'");
    if (op->abi != FLOWBOOK_OP_ABI)
        throw Error("operator '" + name + "' was compiled for version " + std::to_string(op->abi) +
                    " of flowbook_op.h, this is version " + std::to_string(FLOWBOOK_OP_ABI) + ": compile it again");
    if (!op->run) throw Error("operator '" + name + "' has no function to run");
    std::string made = name + "#" + std::to_string(loaded.size());
    Library::get().add(made, [op](const Signature& signature) -> std::unique_ptr<Kernel> {
        if (!(op->flags & FLOWBOOK_OP_STRIDED))
            for (auto& each : signature.inputs)
                if (!each.contiguous()) return nullptr;  // it is asked again, with copies
        return std::make_unique<External>(*op, signature);
    });
    return known = made;
}

}  // namespace fb
