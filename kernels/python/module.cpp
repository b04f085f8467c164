// The module `flowbook.native._native`.
#define FB_IMPORTS_NUMPY
#include "python/callable.h"
#include "python/kernel.h"
#include "python/plan.h"
#include "python/updates.h"
#include "runtime/events.h"
#include "runtime/external.h"
#include "runtime/library.h"
#include "runtime/pool.h"

using namespace fb;
using namespace fb::py;

namespace {

PyObject* names(PyObject*, PyObject*) {
    return guarded([&]() -> PyObject* {
        Ref found = checked(PyFrozenSet_New(nullptr));
        for (auto& each : Library::get().names()) {
            Ref name = checked(PyUnicode_FromString(each.c_str()));
            if (PySet_Add(found.get(), name.get()) < 0) throw PythonError();
        }
        return found.release();
    }, nullptr);
}

PyObject* variant(PyObject*, PyObject*) {
    return guarded([&]() -> PyObject* { return PyUnicode_FromString(Library::get().variant().c_str()); }, nullptr);
}

PyObject* cpus(PyObject*, PyObject*) { return PyLong_FromLong(Pool::cpus()); }

// (how many there have been, bytes of those from `first` on that are still there)
PyObject* events(PyObject*, PyObject* first) {
    return guarded([&]() -> PyObject* {
        unsigned long long from = PyLong_AsUnsignedLongLong(first);
        if (PyErr_Occurred()) return nullptr;
        uint64_t count = Events::get().count();
        auto found = Events::get().read(from);
        auto bytes = found.empty() ? "" : reinterpret_cast<const char*>(found.data());  // a null pointer would be None
        return Py_BuildValue("(Ky#)", static_cast<unsigned long long>(count), bytes,
                             static_cast<Py_ssize_t>(found.size() * sizeof(Event)));
    }, nullptr);
}

PyObject* record(PyObject*, PyObject* on) {
    int wanted = PyObject_IsTrue(on);
    if (wanted < 0) return nullptr;
    Events::get().record(wanted != 0);
    Py_RETURN_NONE;
}

PyObject* load(PyObject*, PyObject* args) {
    return guarded([&]() -> PyObject* {
        PyObject* path;
        const char* name;
        if (!PyArg_ParseTuple(args, "O&s", PyUnicode_FSConverter, &path, &name)) return nullptr;
        Ref encoded(path);
        return PyUnicode_FromString(load_external(PyBytes_AS_STRING(path), name).c_str());
    }, nullptr);
}

PyMethodDef functions[] = {
    {"events", events, METH_O, "events(first) -> (how many there have been, bytes of the newest from `first` on)."},
    {"record", record, METH_O, "record(on): whether steps write events."},
    {"names", names, METH_NOARGS, "The names of all native kernels."},
    {"variant", variant, METH_NOARGS, "Which variant of the CPU kernels runs: 'v4', 'v3', 'base', or 'none'."},
    {"load", load, METH_VARARGS,
     "load(path, op) -> the name under which Kernel knows operator `op` of a user's library. Libraries stay loaded."},
    {"cpus", cpus, METH_NOARGS, "How many CPUs this process may use."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "The native runtime.", -1, functions,
                          nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
    import_array();
    Ref module(PyModule_Create(&definition));
    if (!module || !prepare_callable()) return nullptr;
    for (PyTypeObject* type : {&KernelType, &PlanType, &UpdatesType, &CallableType})
        if (PyModule_AddType(module.get(), type) < 0) return nullptr;
    KernelErrorType = PyErr_NewExceptionWithDoc("flowbook.native._native.KernelError",
                                                "What a kernel raises: message (advice on a second line), `step`, `of_shape`.",
                                                PyExc_RuntimeError, nullptr);
    if (!KernelErrorType || PyModule_AddObjectRef(module.get(), "KernelError", KernelErrorType) < 0) return nullptr;
    return module.release();
}
