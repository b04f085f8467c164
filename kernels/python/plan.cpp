#include "python/plan.h"

#include "python/kernel.h"
#include "python/updates.h"
#include "runtime/library.h"
#include "runtime/updates.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

namespace fb::py {

namespace {

constexpr double worth_releasing = 20000;  // ns: a shorter run keeps the GIL
constexpr auto signal_interval = std::chrono::milliseconds(20);

// ---------------------------------------------------------------------------------------------- making one

std::vector<int32_t> as_slots(PyObject* sequence) {
    std::vector<int32_t> found;
    for (int64_t each : as_integers(sequence)) found.push_back(static_cast<int32_t>(each));
    return found;
}

Slot as_slot(PyObject* described) {
    Slot slot;
    if (described == Py_None) return slot;
    if (!PyTuple_Check(described)) throw Error("a slot is None or a tuple");
    slot.known = true;
    Py_ssize_t n = PyTuple_GET_SIZE(described);
    if (n == 2) {
        slot.spec = as_spec(described);
        return slot;
    }
    if (n != 5) throw Error("a view is (dtype, shape, strides, base, offset)");
    slot.kind = Slot::view;
    slot.spec = make_spec(dtype_named(PyTuple_GET_ITEM(described, 0)), as_integers(PyTuple_GET_ITEM(described, 1)));
    auto strides = as_integers(PyTuple_GET_ITEM(described, 2));
    if (static_cast<int>(strides.size()) != slot.spec.rank) throw Error("a view has a stride for each axis");
    for (int i = 0; i < slot.spec.rank; i++) slot.spec.stride[i] = strides[i];
    slot.base = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(described, 3)));
    slot.offset = PyLong_AsLongLong(PyTuple_GET_ITEM(described, 4));
    if (PyErr_Occurred()) throw PythonError();
    return slot;
}

// Every element of a view has to lie inside its base.
void check_view(const Slot& view, const std::vector<Slot>& slots) {
    if (view.base < 0 || view.base >= static_cast<int>(slots.size())) throw Error("a view has no base");
    const Slot& base = slots[view.base];
    if (!base.known || base.kind == Slot::view) throw Error("a view's base is not known");
    if (view.spec.size() == 0) return;
    int64_t least = 0, most = 0, item = size_of(view.spec.dtype);
    for (int i = 0; i < view.spec.rank; i++) {
        int64_t reach = (view.spec.shape[i] - 1) * view.spec.stride[i];
        (reach < 0 ? least : most) += reach;
    }
    if (view.offset + least * item < 0 || view.offset + (most + 1) * item > base.spec.bytes())
        throw Error("a view reaches out of its base");
}

class Builder {
  public:
    void add_slots(PyObject* described) {
        Ref list = checked(PySequence_Fast(described, "slots is a sequence"));
        outline.slots.reserve(static_cast<size_t>(PySequence_Fast_GET_SIZE(list.get())));
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(list.get()); k++)
            outline.slots.push_back(as_slot(PySequence_Fast_GET_ITEM(list.get(), k)));
        for (auto& each : outline.slots)
            if (each.kind == Slot::view) check_view(each, outline.slots);
    }

    void add_results(PyObject* described) {
        outline.results = as_slots(described);
        for (int32_t slot : outline.results) at(slot).kind = Slot::result;
    }

    // The new values of variables that only the commit needs, by slot, and the slots of the old ones.
    void add_states(PyObject* described) {
        PyObject *key, *value;
        Py_ssize_t place = 0;
        while (PyDict_Next(described, &place, &key, &value)) {
            const long made = PyLong_AsLong(key), old = PyLong_AsLong(value);
            if (PyErr_Occurred()) throw PythonError();
            at(static_cast<int32_t>(made)), at(static_cast<int32_t>(old));
            states[static_cast<int32_t>(made)] = static_cast<int32_t>(old);
        }
    }

    // (what, inputs, outputs, after): what is a Kernel, True for a view, None for a step of the host.
    void add_step(PyObject* described) {
        PyObject *what, *inputs, *outputs, *after;
        if (!PyArg_ParseTuple(described, "OOOO", &what, &inputs, &outputs, &after)) throw PythonError();
        Step step;
        step.inputs = as_slots(inputs);
        step.outputs = as_slots(outputs);
        for (int32_t slot : step.inputs)
            if (slot != -1) at(slot);
        for (int32_t slot : step.outputs) at(slot);
        step.passive = what == Py_True;
        auto waits = as_slots(after);
        for (auto& each : waits) each = places.at(each);
        if (KernelObject* kernel = as_kernel(what)) {
            Signature s;
            for (int32_t slot : step.inputs) {
                if (slot < 0 || !at(slot).known) throw Error("a kernel's input has to be known");
                s.inputs.push_back(at(slot).spec);
            }
            for (int32_t slot : step.outputs) {
                if (at(slot).kind == Slot::foreign) at(slot).kind = Slot::arena;
                s.outputs.push_back(at(slot).spec);
            }
            step.kernel = prepare(kernel, s);
            if (!step.kernel) {  // strides that it does not do
                for (auto& slot : step.inputs) slot = contiguous(slot);
                for (size_t k = 0; k < s.inputs.size(); k++) s.inputs[k].set_contiguous();
                step.kernel = prepare(kernel, s);
            }
            if (!step.kernel) throw Error(std::string("no native kernel ") + PyUnicode_AsUTF8(kernel->name));
        }
        outline.steps.push_back(std::move(step));
        outline.after.push_back(std::move(waits));
        origin.resize(outline.steps.size(), static_cast<int32_t>(places.size()));
        places.push_back(static_cast<int32_t>(outline.steps.size()) - 1);
    }

    void finish() {
        std::vector<int32_t> moved;
        for (int32_t place : leave_updates(outline, states)) moved.push_back(origin[place]);
        origin = std::move(moved);
    }

    Outline outline;
    std::vector<int32_t> places;  // where each of Python's steps is now
    std::vector<int32_t> origin;  // and the other way round

  private:
    std::unordered_map<int32_t, int32_t> states;

    Slot& at(int32_t slot) {
        if (slot < 0 || slot >= static_cast<int32_t>(outline.slots.size())) throw Error("there is no such slot");
        return outline.slots[slot];
    }

    static std::shared_ptr<const Kernel> prepare(KernelObject* kernel, const Signature& s) {
        if (*kernel->prepared && kernel->inputs->size() == s.inputs.size()) {
            bool fits = true;
            for (size_t k = 0; fits && k < s.inputs.size(); k++) fits = same_layout(s.inputs[k], (*kernel->inputs)[k]);
            if (fits) return *kernel->prepared;
        }
        return Library::get().make(PyUnicode_AsUTF8(kernel->name), Signature{s.inputs, s.outputs, *kernel->attrs});
    }

    int32_t contiguous(int32_t slot) {
        if (at(slot).spec.contiguous()) return slot;
        Slot made;
        made.kind = Slot::arena;
        made.known = true;
        made.spec = at(slot).spec;
        made.spec.set_contiguous();
        Step copy;
        copy.kernel = Library::get().make("copy", Signature{{at(slot).spec}, {made.spec}, {}});
        copy.inputs = {slot};
        copy.outputs = {static_cast<int32_t>(outline.slots.size())};
        outline.slots.push_back(made);
        outline.steps.push_back(std::move(copy));
        outline.after.emplace_back();
        return static_cast<int32_t>(outline.slots.size()) - 1;
    }
};

PyObject* plan_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded([&]() -> PyObject* {
        static const char* names[] = {"slots", "steps", "results", "externals", "constants", "kept", "states", nullptr};
        PyObject *slots, *steps, *results, *externals, *constants, *kept = nullptr, *states = nullptr;
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO!|OO!", const_cast<char**>(names), &slots, &steps, &results,
                                         &externals, &PyDict_Type, &constants, &kept, &PyDict_Type, &states))
            return nullptr;
        Builder builder;
        builder.add_slots(slots);
        builder.add_results(results);
        if (states) builder.add_states(states);
        auto native = std::make_unique<NativePlan>();
        Ref list = checked(PySequence_Fast(steps, "steps is a sequence"));
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(list.get()); k++)
            builder.add_step(PySequence_Fast_GET_ITEM(list.get(), k));
        builder.finish();
        native->externals = as_slots(externals);
        int32_t count = static_cast<int32_t>(builder.outline.slots.size());
        for (int32_t slot : native->externals)
            if (slot < 0 || slot >= count) throw Error("there is no such slot");
        native->kept.resize(count, !kept);
        if (kept)
            for (int32_t slot : as_slots(kept))
                if (slot >= 0 && slot < count) native->kept[slot] = true;
        PyObject *key, *value;
        Py_ssize_t place = 0;
        while (PyDict_Next(constants, &place, &key, &value)) {
            long slot = PyLong_AsLong(key);
            if (slot < 0 || slot >= count) throw Error("there is no such slot");
            Ref array = checked(PyArray_FROM_OF(value, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED));
            Spec spec = spec_of(reinterpret_cast<PyArrayObject*>(array.get()));
            Slot& known = builder.outline.slots[slot];
            if (known.known && (spec.dtype != known.spec.dtype || !spec.same_shape(known.spec)))
                throw Error("a constant is not what its slot says");
            native->constants.emplace_back(static_cast<int32_t>(slot), std::move(array));
        }
        for (auto& step : builder.outline.steps)
            if (step.host())
                for (auto* list : {&step.inputs, &step.outputs})
                    for (int32_t slot : *list) native->host_slots = std::max<size_t>(native->host_slots, slot + 1);
        native->origin = std::move(builder.origin);
        native->plan = std::make_unique<fb::Plan>(std::move(builder.outline));
        Ref made = checked(type->tp_alloc(type, 0));
        reinterpret_cast<PlanObject*>(made.get())->native = native.release();
        return made.release();
    }, nullptr);
}

void plan_dealloc(PyObject* object) {
    delete reinterpret_cast<PlanObject*>(object)->native;
    Py_TYPE(object)->tp_free(object);
}

// ---------------------------------------------------------------------------------------------- running one

// Python around a run: its own steps, Ctrl-C, and the GIL.
class PythonHost final : public Host {
  public:
    PythonHost(const NativePlan& native, PyObject* perform, PyObject* values)
        : native(native), function(perform), values(values) {}

    ~PythonHost() override { take(); }

    void let_go() { state = PyEval_SaveThread(); }
    void take() {
        if (state) PyEval_RestoreThread(state);
        state = nullptr;
    }

    void perform(int32_t index, void** pointers) override {
        With gil(*this);
        let_go_of_done();
        const fb::Plan& plan = *native.plan;
        const Step& step = plan.steps[index];
        std::vector<int32_t> lent;
        for (int32_t slot : step.inputs) {
            if (slot < 0 || PyList_GET_ITEM(values, slot) != Py_None) continue;
            const Slot& each = plan.slots[slot];
            if (!each.known || !pointers[slot]) continue;
            // A copy, as nobody knows how long the host keeps it.
            PyList_SetItem(values, slot, copy_of(each.spec, pointers[slot]).release());
            lent.push_back(slot);
        }
        Ref done(PyObject_CallFunction(function, "i", native.origin[index]));
        for (int32_t slot : lent) PyList_SetItem(values, slot, Py_NewRef(Py_None));
        if (!done) gil.keep_error();
        for (int32_t slot : step.outputs) {
            const Slot& each = plan.slots[slot];
            if (!each.known) continue;
            Ref array(PyArray_FROM_OF(PyList_GET_ITEM(values, slot),
                                      NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED));
            if (!array) gil.keep_error();
            auto a = reinterpret_cast<PyArrayObject*>(array.get());
            if (dtype_of(PyArray_TYPE(a)) != each.spec.dtype || PyArray_NDIM(a) > max_rank ||
                !spec_of(a).same_shape(each.spec))
                throw StepError(index, "it gave another dtype or shape than its rule says");
            pointers[slot] = PyArray_DATA(a);
            held.emplace_back(slot, std::move(array));
        }
    }

    void done(int32_t slot) override {
        std::lock_guard hold(mutex);
        unread.push_back(slot);
    }

    void poll() override {
        auto time = std::chrono::steady_clock::now();
        if (time - asked < signal_interval) return;
        asked = time;
        With gil(*this);
        if (PyErr_CheckSignals() < 0) gil.keep_error();
    }

    std::vector<std::pair<int32_t, Ref>> held;  // what its steps made, by slot

    // Sets the Python error that ended the run, if one did.
    bool restore_error() {
        if (!type) return false;
        PyErr_Restore(type, value, traceback);
        type = value = traceback = nullptr;
        return true;
    }

  private:
    // Holds the GIL for a block.
    class With {
      public:
        explicit With(PythonHost& host) : host(host), taken(host.state != nullptr) { host.take(); }
        ~With() {
            if (taken) host.let_go();
        }
        // The error that is set waits until the run has ended.
        [[noreturn]] void keep_error() {
            PyErr_Fetch(&host.type, &host.value, &host.traceback);
            throw PythonError();
        }
        PythonHost& host;
        bool taken;
    };

    // Gives up what nobody reads any more, with the GIL.
    void let_go_of_done() {
        std::vector<int32_t> slots;
        {
            std::lock_guard hold(mutex);
            slots.swap(unread);
        }
        for (int32_t slot : slots) {
            held.erase(std::remove_if(held.begin(), held.end(), [&](auto& each) { return each.first == slot; }), held.end());
            if (!native.kept[slot]) PyList_SetItem(values, slot, Py_NewRef(Py_None));
        }
    }

    static Ref copy_of(const Spec& spec, void* data) {
        npy_intp shape[max_rank], strides[max_rank];
        for (int i = 0; i < spec.rank; i++) {
            shape[i] = spec.shape[i];
            strides[i] = spec.stride[i] * size_of(spec.dtype);
        }
        Ref view = checked(PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(type_num_of(spec.dtype)), spec.rank,
                                                shape, strides, data, NPY_ARRAY_ALIGNED, nullptr));
        return checked(PyArray_NewCopy(reinterpret_cast<PyArrayObject*>(view.get()), NPY_CORDER));
    }

    const NativePlan& native;
    PyObject* function;
    PyObject* values;
    PyThreadState* state = nullptr;
    std::mutex mutex;
    std::vector<int32_t> unread;
    std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
};

// The memory of an external: the array itself where it lies as the plan expects it, else a copy.
void* external(const Slot& slot, PyObject* value, std::vector<Ref>& held) {
    if (!slot.known) return nullptr;
    auto a = reinterpret_cast<PyArrayObject*>(value);
    if (!PyArray_Check(value) || !PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISALIGNED(a) || !PyArray_ISNOTSWAPPED(a)) {
        held.push_back(checked(
            PyArray_FROM_OF(value, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED)));
        a = reinterpret_cast<PyArrayObject*>(held.back().get());
    }
    bool fits = dtype_of(PyArray_TYPE(a)) == slot.spec.dtype && PyArray_NDIM(a) == slot.spec.rank;
    for (int i = 0; fits && i < slot.spec.rank; i++) fits = PyArray_DIM(a, i) == slot.spec.shape[i];
    if (!fits) throw Error("a value is not of the dtype and shape that the plan was made for");
    return PyArray_DATA(a);
}

}  // namespace

void run_plan(const NativePlan& native, PyObject* const* externals, PyObject* perform, PyObject* values, int threads,
              uint32_t run, std::vector<Ref>& results, Ended* ended) {
    const fb::Plan& plan = *native.plan;
    if (!plan.states.empty() && !ended) throw Error("somebody has to run the updates of this plan");
    constexpr size_t few = 64;
    void* some[few];
    std::vector<void*> many;
    void** pointers = some;
    if (plan.slots.size() > few || ended) {
        std::vector<void*>& all = ended ? ended->pointers : many;
        all.resize(plan.slots.size());
        pointers = all.data();
    } else {
        std::fill(some, some + plan.slots.size(), nullptr);
    }
    std::vector<Ref> held;
    for (auto& each : native.constants)
        pointers[each.first] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(each.second.get()));
    for (size_t k = 0; k < native.externals.size(); k++)
        pointers[native.externals[k]] = external(plan.slots[native.externals[k]], externals[k], held);
    for (int32_t slot : plan.results) {
        results.push_back(new_array(plan.slots[slot].spec));
        pointers[slot] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(results.back().get()));
    }
    PythonHost host(native, perform, values);
    RunOptions options{threads, &host, run};
    bool release = plan.cost > worth_releasing;
    if (!release && !plan.has_host) options.host = nullptr;
    if (release) host.let_go();
    try {
        if (ended) {
            ended->arena.emplace(plan.arena_bytes);
            fb::execute(plan, pointers, options, *ended->arena);
        } else {
            fb::execute(plan, pointers, options);
        }
    } catch (const PythonError&) {
        host.take();
        host.restore_error();
        throw;
    }
    if (!ended) return;
    host.take();
    ended->held = std::move(held);
    for (auto& each : host.held) ended->held.push_back(std::move(each.second));
    for (Ref& each : results) ended->held.push_back(Ref::borrowed(each.get()));
}

namespace {

PyObject* plan_run(PyObject* object, PyObject* args) {
    auto& native = *reinterpret_cast<PlanObject*>(object)->native;
    std::vector<Ref> results;
    try {
        PyObject *externals, *perform, *values;
        int threads;
        unsigned int run;
        if (!PyArg_ParseTuple(args, "OOOiI", &externals, &perform, &values, &threads, &run)) return nullptr;
        Ref list = checked(PySequence_Fast(externals, "externals is a sequence"));
        if (static_cast<size_t>(PySequence_Fast_GET_SIZE(list.get())) != native.externals.size())
            throw Error("a run is given another number of values than the plan was made for");
        if (native.plan->has_host &&
            (!PyList_Check(values) || static_cast<size_t>(PyList_GET_SIZE(values)) < native.host_slots))
            throw Error("values is a list with a place for each slot");
        std::unique_ptr<Ended> ended;
        if (!native.plan->states.empty()) ended = std::make_unique<Ended>();
        run_plan(native, PySequence_Fast_ITEMS(list.get()), perform, values, threads, run, results, ended.get());
        Ref made = checked(PyList_New(results.size()));
        for (size_t k = 0; k < results.size(); k++) PyList_SET_ITEM(made.get(), k, results[k].release());
        Ref updates = Ref::borrowed(Py_None);
        if (ended) updates = make_updates(object, std::move(ended), std::move(list), threads, run);
        return checked(PyTuple_Pack(2, made.get(), updates.get())).release();
    } catch (const StepError& error) {
        set_kernel_error(error.what(), native.origin[error.step], error.of_shape);
        return nullptr;
    } catch (...) {
        return guarded([]() -> PyObject* { throw; }, nullptr);
    }
}

PyObject* plan_summary(PyObject* object, PyObject*) {
    auto& plan = *reinterpret_cast<PlanObject*>(object)->native->plan;
    int kernels = 0, host = 0, views = 0;
    for (auto& step : plan.steps) (step.kernel ? kernels : step.passive ? views : host)++;
    return Py_BuildValue("{s:i,s:i,s:i,s:L,s:d,s:d,s:O}", "kernels", kernels, "host", host, "views", views,
                         "arena_bytes", static_cast<long long>(plan.arena_bytes), "cost", plan.cost, "critical",
                         plan.critical, "parallel", plan.parallel ? Py_True : Py_False);
}

// Of each slot that a run makes memory for: (slot, kind, bytes, step that makes it, last step that touches it).
PyObject* plan_memory(PyObject* object, PyObject*) {
    return guarded([&]() -> PyObject* {
        auto& native = *reinterpret_cast<PlanObject*>(object)->native;
        Ref rows = checked(PyList_New(0));
        for (size_t k = 0; k < native.plan->slots.size(); k++) {
            const Slot& slot = native.plan->slots[k];
            if (slot.kind != Slot::arena && slot.kind != Slot::result) continue;
            Ref row = checked(Py_BuildValue("(isLii)", static_cast<int>(k), slot.kind == Slot::arena ? "arena" : "result",
                                            static_cast<long long>(slot.spec.bytes()), native.origin[slot.made],
                                            native.origin[slot.last]));
            if (PyList_Append(rows.get(), row.get()) < 0) throw PythonError();
        }
        return rows.release();
    }, nullptr);
}

PyObject* plan_number(PyObject* object, void*) {
    return PyLong_FromLong(reinterpret_cast<PlanObject*>(object)->native->plan->number);
}

PyObject* plan_states(PyObject* object, void*) {
    auto& states = reinterpret_cast<PlanObject*>(object)->native->plan->states;
    return guarded([&]() -> PyObject* {
        Ref made = checked(PyTuple_New(states.size()));
        for (size_t k = 0; k < states.size(); k++)
            PyTuple_SET_ITEM(made.get(), k, checked(PyLong_FromLong(states[k].first)).release());
        return made.release();
    }, nullptr);
}

PyObject* plan_origin(PyObject* object, void*) {
    auto& origin = reinterpret_cast<PlanObject*>(object)->native->origin;
    return guarded([&]() -> PyObject* {
        Ref made = checked(PyTuple_New(origin.size()));
        for (size_t k = 0; k < origin.size(); k++)
            PyTuple_SET_ITEM(made.get(), k, checked(PyLong_FromLong(origin[k])).release());
        return made.release();
    }, nullptr);
}

PyGetSetDef attributes[] = {
    {"number", plan_number, nullptr, "Its number, as in events.", nullptr},
    {"states", plan_states, nullptr, "The slots of new values that are written when a run has ended: see Updates.", nullptr},
    {"origin", plan_origin, nullptr, "By its own steps: which of the steps it was made from.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"memory", plan_memory, METH_NOARGS,
     "Of each slot that a run makes memory for: (slot, kind, bytes, step that makes it, last step that touches it)."},
    {"run", plan_run, METH_VARARGS,
     "run(externals, perform, values, threads, run) -> (results, Updates or None). Raises KernelError for what a kernel "
     "raises."},
    {"summary", plan_summary, METH_NOARGS, "Counts of steps by kind, bytes of the arena, estimated times in ns."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
    PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
    type.tp_name = "flowbook.native._native.Plan";
    type.tp_doc =
        "Plan(slots, steps, results, externals, constants, kept=, states={}): a plan for the native executor. `kept`: slots "
        "that are asked for after a run. `states`: by slot of a variable's new value that nobody asks for, the slot of the "
        "old one.";
    type.tp_basicsize = sizeof(PlanObject);
    type.tp_flags = Py_TPFLAGS_DEFAULT;
    type.tp_new = plan_new;
    type.tp_dealloc = plan_dealloc;
    type.tp_methods = methods;
    type.tp_getset = attributes;
    return type;
}

}  // namespace

PyTypeObject PlanType = make_type();

}  // namespace fb::py
