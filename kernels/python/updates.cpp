#include "python/updates.h"

namespace fb::py {

namespace {

constexpr double worth_releasing = 20000;  // ns: shorter updates keep the GIL

struct UpdatesObject {
    PyObject_HEAD
    PyObject* plan;       // PlanObject
    PyObject* externals;  // what the run was given
    Ended* ended;
    int threads;
    uint32_t run;
};

// Whether nobody but the store and this run has an array: the store's entry is a tuple that begins with it.
bool is_ours(PyObject* entry, PyObject* array, const void* data) {
    if (!entry || !PyTuple_Check(entry) || PyTuple_GET_SIZE(entry) < 1 || PyTuple_GET_ITEM(entry, 0) != array) return false;
    if (!PyArray_CheckExact(array) || Py_REFCNT(entry) != 1 || Py_REFCNT(array) != 2) return false;
    auto a = reinterpret_cast<PyArrayObject*>(array);
    return !PyArray_BASE(a) && PyArray_CHKFLAGS(a, NPY_ARRAY_OWNDATA) && PyArray_DATA(a) == data;
}

PyObject* updates_prepare(PyObject* object, PyObject* args) {
    return guarded([&]() -> PyObject* {
        auto self = reinterpret_cast<UpdatesObject*>(object);
        PyObject *entries, *keys;
        if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &entries, &PyList_Type, &keys)) return nullptr;
        const NativePlan& native = *reinterpret_cast<PlanObject*>(self->plan)->native;
        const auto& states = native.plan->states;
        if (!self->ended) throw Error("these updates have been made");
        if (PyList_GET_SIZE(keys) != static_cast<Py_ssize_t>(states.size()))
            throw Error("an update is given its variable's key");
        Ref made = checked(PyList_New(states.size()));
        for (size_t k = 0; k < states.size(); k++) {
            auto [slot, old] = states[k];
            const auto place = std::find(native.externals.begin(), native.externals.end(), old) - native.externals.begin();
            PyObject* array = PySequence_Fast_GET_ITEM(self->externals, place);
            PyObject* entry = PyDict_GetItemWithError(entries, PyList_GET_ITEM(keys, k));
            if (!entry && PyErr_Occurred()) throw PythonError();
            void*& data = self->ended->pointers[slot];
            Ref value = is_ours(entry, array, self->ended->pointers[old]) ? Ref::borrowed(array)
                                                                          : new_array(native.plan->slots[slot].spec);
            data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(value.get()));
            PyList_SET_ITEM(made.get(), k, value.release());
        }
        return made.release();
    }, nullptr);
}

PyObject* updates_finish(PyObject* object, PyObject* args) {
    return guarded([&]() -> PyObject* {
        auto self = reinterpret_cast<UpdatesObject*>(object);
        PyObject *entries, *fresh;
        if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &entries, &PyDict_Type, &fresh)) return nullptr;
        if (!self->ended) throw Error("these updates have been made");
        const fb::Plan& plan = *reinterpret_cast<PlanObject*>(self->plan)->native->plan;
        for (auto& each : plan.states)
            if (!self->ended->pointers[each.first]) throw Error("updates have to be prepared first");
        const RunOptions options{self->threads, nullptr, self->run};
        PyThreadState* state = plan.update_cost > worth_releasing ? PyEval_SaveThread() : nullptr;
        std::exception_ptr failure;
        try {
            update(plan, self->ended->pointers.data(), options);
        } catch (...) {
            failure = std::current_exception();
        }
        if (state) PyEval_RestoreThread(state);
        if (failure) std::rethrow_exception(failure);
        delete self->ended;
        self->ended = nullptr;
        if (PyDict_Update(entries, fresh) < 0) throw PythonError();
        Py_RETURN_NONE;
    }, nullptr);
}

void updates_dealloc(PyObject* object) {
    auto self = reinterpret_cast<UpdatesObject*>(object);
    delete self->ended;
    Py_XDECREF(self->plan);
    Py_XDECREF(self->externals);
    Py_TYPE(object)->tp_free(object);
}

PyMethodDef methods[] = {
    {"prepare", updates_prepare, METH_VARARGS,
     "prepare(entries, keys) -> arrays for the new values, by key: the old array of an entry (array, ...) that nobody else "
     "has, else a fresh one. Nothing is written; until `finish` nobody may take an entry."},
    {"finish", updates_finish, METH_VARARGS,
     "finish(entries, fresh): compute the new values, and update `entries` with `fresh`. Nothing can interrupt it."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
    PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
    type.tp_name = "flowbook.native._native.Updates";
    type.tp_doc = "What is left of a run: the writes of variables in the memory of their old values.";
    type.tp_basicsize = sizeof(UpdatesObject);
    type.tp_flags = Py_TPFLAGS_DEFAULT;
    type.tp_dealloc = updates_dealloc;
    type.tp_methods = methods;
    return type;
}

}  // namespace

PyTypeObject UpdatesType = make_type();

Ref make_updates(PyObject* plan, std::unique_ptr<Ended> ended, Ref externals, int threads, uint32_t run) {
    Ref made = checked(UpdatesType.tp_alloc(&UpdatesType, 0));
    auto self = reinterpret_cast<UpdatesObject*>(made.get());
    self->plan = Py_NewRef(plan);
    self->externals = externals.release();
    self->ended = ended.release();
    self->threads = threads;
    self->run = run;
    return made;
}

}  // namespace fb::py
