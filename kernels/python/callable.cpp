// `Callable`: what `Session.make_callable` returns. Where a plan needs no variable and no Python, a call goes straight
// from the arguments' memory to the executor; all else goes to the function it was made from.
#include "python/callable.h"

#include "python/plan.h"

#include <algorithm>

namespace fb::py {

namespace {

struct CallableObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* slow;     // called with the same arguments where the fast way is not open
    PyObject* session;  // its `closed`, `runs` and `_counter` are those of a run
    PyObject* graph;    // its `version` tells whether the plan still holds
    PyObject* watches;  // dict: empty while nobody watches any run
    PyObject* rebuild;  // puts a list of results in the structure of the fetches; None: there is one
    PyObject* plan;     // a PlanObject, or null
    long long version;
    int threads;
};

struct Names {
    PyObject *closed, *runs, *counter, *version;
};
Names names;

bool is_open(CallableObject* self) {
    if (!self->plan || PyDict_GET_SIZE(self->watches)) return false;
    Ref version = checked(PyObject_GetAttr(self->graph, names.version));
    if (PyLong_AsLongLong(version.get()) != self->version) return false;
    Ref closed = checked(PyObject_GetAttr(self->session, names.closed));
    return closed.get() == Py_False;
}

bool takes(const Slot& slot, PyObject* value) {
    if (!PyArray_CheckExact(value)) return false;
    auto a = reinterpret_cast<PyArrayObject*>(value);
    if (PyArray_NDIM(a) != slot.spec.rank || dtype_of(PyArray_TYPE(a)) != slot.spec.dtype || !PyArray_ISCARRAY_RO(a))
        return false;
    for (int i = 0; i < slot.spec.rank; i++)
        if (PyArray_DIM(a, i) != slot.spec.shape[i]) return false;
    return true;
}

// A new result, or nothing where only the slow way can tell what is wrong.
Ref run_fast(CallableObject* self, PyObject* const* arguments) {
    auto& native = *reinterpret_cast<PlanObject*>(self->plan)->native;
    std::vector<Ref> results;
    try {
        run_plan(native, arguments, Py_None, Py_None, self->threads, 0, results);
    } catch (const Error&) {
        return Ref();
    }
    Ref counter = checked(PyObject_GetAttr(self->session, names.counter));
    Ref run = checked(PyIter_Next(counter.get()));
    if (PyObject_SetAttr(self->session, names.runs, run.get()) < 0) throw PythonError();
    if (self->rebuild == Py_None) return std::move(results[0]);
    Ref list = checked(PyList_New(results.size()));
    for (size_t k = 0; k < results.size(); k++) PyList_SET_ITEM(list.get(), k, results[k].release());
    return checked(PyObject_CallOneArg(self->rebuild, list.get()));
}

PyObject* call(PyObject* object, PyObject* const* arguments, size_t flagged, PyObject* keywords) {
    return guarded([&]() -> PyObject* {
        auto self = reinterpret_cast<CallableObject*>(object);
        size_t count = PyVectorcall_NARGS(flagged);
        if (!keywords && is_open(self)) {
            auto& native = *reinterpret_cast<PlanObject*>(self->plan)->native;
            bool fits = count == native.externals.size();
            for (size_t k = 0; fits && k < count; k++)
                fits = takes(native.plan->slots[native.externals[k]], arguments[k]);
            if (fits) {
                Ref keep = Ref::borrowed(self->plan);  // a run may let other threads in
                Ref result = run_fast(self, arguments);
                if (result) return result.release();
            }
        }
        return PyObject_Vectorcall(self->slow, arguments, flagged, keywords);
    }, nullptr);
}

PyObject* callable_new(PyTypeObject* type, PyObject* args, PyObject*) {
    return guarded([&]() -> PyObject* {
        PyObject *slow, *session, *graph, *watches, *rebuild;
        int threads;
        if (!PyArg_ParseTuple(args, "OOOO!Oi", &slow, &session, &graph, &PyDict_Type, &watches, &rebuild, &threads))
            return nullptr;
        Ref made = checked(type->tp_alloc(type, 0));
        auto self = reinterpret_cast<CallableObject*>(made.get());
        self->vectorcall = call;
        self->slow = Py_NewRef(slow);
        self->session = Py_NewRef(session);
        self->graph = Py_NewRef(graph);
        self->watches = Py_NewRef(watches);
        self->rebuild = Py_NewRef(rebuild);
        self->threads = threads;
        return made.release();
    }, nullptr);
}

// offer(plan, version): this plan may be run directly while the graph has this version.
PyObject* callable_offer(PyObject* object, PyObject* args) {
    auto self = reinterpret_cast<CallableObject*>(object);
    PyObject* plan;
    long long version;
    if (!PyArg_ParseTuple(args, "O!L", &PlanType, &plan, &version)) return nullptr;
    auto& native = *reinterpret_cast<PlanObject*>(plan)->native;
    bool known = std::all_of(native.externals.begin(), native.externals.end(),
                             [&](int32_t slot) { return native.plan->slots[slot].known; });
    if (native.plan->has_host || !known || native.plan->results.empty()) Py_RETURN_FALSE;
    PyObject* old = self->plan;
    self->plan = Py_NewRef(plan);
    self->version = version;
    Py_XDECREF(old);
    Py_RETURN_TRUE;
}

int callable_traverse(PyObject* object, visitproc visit, void* arg) {
    auto self = reinterpret_cast<CallableObject*>(object);
    Py_VISIT(self->slow);
    Py_VISIT(self->session);
    Py_VISIT(self->graph);
    Py_VISIT(self->watches);
    Py_VISIT(self->rebuild);
    Py_VISIT(self->plan);
    return 0;
}

int callable_clear(PyObject* object) {
    auto self = reinterpret_cast<CallableObject*>(object);
    Py_CLEAR(self->slow);
    Py_CLEAR(self->session);
    Py_CLEAR(self->graph);
    Py_CLEAR(self->watches);
    Py_CLEAR(self->rebuild);
    Py_CLEAR(self->plan);
    return 0;
}

void callable_dealloc(PyObject* object) {
    PyObject_GC_UnTrack(object);
    callable_clear(object);
    Py_TYPE(object)->tp_free(object);
}

PyMethodDef methods[] = {
    {"offer", callable_offer, METH_VARARGS, "offer(plan, version): whether this plan can be run directly."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
    PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
    type.tp_name = "flowbook.native._native.Callable";
    type.tp_doc = "Callable(slow, session, graph, watches, rebuild, threads): a function of arrays that runs a plan.";
    type.tp_basicsize = sizeof(CallableObject);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL;
    type.tp_vectorcall_offset = offsetof(CallableObject, vectorcall);
    type.tp_call = PyVectorcall_Call;
    type.tp_new = callable_new;
    type.tp_dealloc = callable_dealloc;
    type.tp_traverse = callable_traverse;
    type.tp_clear = callable_clear;
    type.tp_methods = methods;
    return type;
}

}  // namespace

PyTypeObject CallableType = make_type();

bool prepare_callable() {
    names = {PyUnicode_InternFromString("closed"), PyUnicode_InternFromString("runs"),
             PyUnicode_InternFromString("_counter"), PyUnicode_InternFromString("version")};
    return names.closed && names.runs && names.counter && names.version;
}

}  // namespace fb::py
