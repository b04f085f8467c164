#include "python/kernel.h"

#include "runtime/library.h"
#include "runtime/pool.h"

namespace fb::py {

namespace {

constexpr double worth_releasing = 5000;  // ns: shorter calls keep the GIL

std::shared_ptr<const Kernel> prepare(KernelObject* self, const std::vector<Spec>& inputs) {
    if (*self->prepared && inputs.size() == self->inputs->size()) {
        bool fits = true;
        for (size_t i = 0; fits && i < inputs.size(); i++) fits = same_layout(inputs[i], (*self->inputs)[i]);
        if (fits) return *self->prepared;
    }
    const char* name = PyUnicode_AsUTF8(self->name);
    std::shared_ptr<const Kernel> made = Library::get().make(name, Signature{inputs, *self->outputs, *self->attrs});
    if (made) {
        *self->prepared = made;
        *self->inputs = inputs;
    }
    return made;
}

PyObject* kernel_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded([&]() -> PyObject* {
        static const char* names[] = {"name", "attrs", "operands", "outputs", "picks", nullptr};
        PyObject *name, *attrs, *operands, *outputs, *picks = Py_None;
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UO!OO|O", const_cast<char**>(names), &name, &PyDict_Type,
                                         &attrs, &operands, &outputs, &picks))
            return nullptr;
        auto read = std::make_unique<Attrs>(as_attrs(attrs));
        auto kinds = std::make_unique<std::vector<DType>>();
        Ref listed = checked(PySequence_Fast(operands, "operands is a sequence of dtypes"));
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(listed.get()); k++)
            kinds->push_back(dtype_named(PySequence_Fast_GET_ITEM(listed.get(), k)));
        auto specs = std::make_unique<std::vector<Spec>>();
        Ref results = checked(PySequence_Fast(outputs, "outputs is a sequence of specs"));
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(results.get()); k++)
            specs->push_back(as_spec(PySequence_Fast_GET_ITEM(results.get(), k)));
        auto chosen = std::make_unique<std::vector<int64_t>>();
        if (picks != Py_None)
            *chosen = as_integers(picks);
        else
            for (size_t k = 0; k < kinds->size(); k++) chosen->push_back(static_cast<int64_t>(k));
        if (chosen->size() != kinds->size()) throw Error("a kernel has a pick and a dtype for each input");
        Ref made = checked(type->tp_alloc(type, 0));
        auto self = reinterpret_cast<KernelObject*>(made.get());
        self->picks = chosen.release();
        self->name = Py_NewRef(name);
        self->attrs = read.release();
        self->operands = kinds.release();
        self->outputs = specs.release();
        self->prepared = new std::shared_ptr<const Kernel>;
        self->inputs = new std::vector<Spec>;
        return made.release();
    }, nullptr);
}

void kernel_dealloc(PyObject* object) {
    auto self = reinterpret_cast<KernelObject*>(object);
    Py_XDECREF(self->name);
    delete self->attrs;
    delete self->operands;
    delete self->outputs;
    delete self->picks;
    delete self->prepared;
    delete self->inputs;
    Py_TYPE(object)->tp_free(object);
}

PyObject* kernel_call(PyObject* object, PyObject* args, PyObject* kwargs) {
    return guarded([&]() -> PyObject* {
        auto self = reinterpret_cast<KernelObject*>(object);
        if (kwargs && PyDict_GET_SIZE(kwargs)) throw Error("a kernel takes arrays only");
        size_t count = self->picks->size();
        for (int64_t pick : *self->picks)
            if (pick < 0 || pick >= PyTuple_GET_SIZE(args)) throw Error("a kernel got too few arguments");
        std::vector<Ref> arrays, results;
        std::vector<Spec> specs;
        std::vector<const void*> in;
        std::vector<void*> out;
        for (size_t k = 0; k < count; k++) {
            PyObject* value = PyTuple_GET_ITEM(args, (*self->picks)[k]);
            if (PyArray_Check(value) || PyArray_IsScalar(value, Generic)) {
                arrays.push_back(readable(value));
            } else {
                PyArray_Descr* descr = PyArray_DescrFromType(type_num_of((*self->operands)[k]));
                arrays.push_back(checked(PyArray_FromAny(value, descr, 0, 0, NPY_ARRAY_FORCECAST, nullptr)));
            }
            auto array = reinterpret_cast<PyArrayObject*>(arrays.back().get());
            specs.push_back(spec_of(array));
            in.push_back(PyArray_DATA(array));
        }
        auto prepared = prepare(self, specs);
        if (!prepared) {  // strides that it does not do
            for (size_t k = 0; k < count; k++) {
                auto array = reinterpret_cast<PyArrayObject*>(arrays[k].get());
                arrays[k] = checked(PyArray_NewCopy(array, NPY_CORDER));
                in[k] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(arrays[k].get()));
                specs[k].set_contiguous();
            }
            prepared = prepare(self, specs);
        }
        if (!prepared)
            throw Error(std::string("no native kernel '") + PyUnicode_AsUTF8(self->name) + "' for these inputs");
        for (auto& each : *self->outputs) {
            results.push_back(new_array(each));
            out.push_back(PyArray_DATA(reinterpret_cast<PyArrayObject*>(results.back().get())));
        }
        if (prepared->cost < worth_releasing) {
            PoolWork work(1);
            prepared->run(work, in.data(), out.data());
        } else {
            int threads = Pool::cpus();
            Pool::get().reserve(threads);
            PoolWork work(threads);
            std::exception_ptr failure;
            Py_BEGIN_ALLOW_THREADS
            try {
                prepared->run(work, in.data(), out.data());
            } catch (...) {
                failure = std::current_exception();
            }
            Py_END_ALLOW_THREADS
            if (failure) std::rethrow_exception(failure);
        }
        if (results.size() == 1) return results[0].release();
        Ref all = checked(PyTuple_New(results.size()));
        for (size_t k = 0; k < results.size(); k++) PyTuple_SET_ITEM(all.get(), k, results[k].release());
        return all.release();
    }, nullptr);
}

PyObject* kernel_repr(PyObject* object) {
    return PyUnicode_FromFormat("<native kernel %U>", reinterpret_cast<KernelObject*>(object)->name);
}

// Whether the kernel exists for contiguous inputs of these specs: a list of (dtype, shape).
PyObject* kernel_fits(PyObject* object, PyObject* inputs) {
    return guarded([&]() -> PyObject* {
        auto self = reinterpret_cast<KernelObject*>(object);
        Ref listed = checked(PySequence_Fast(inputs, "inputs is a sequence of specs"));
        std::vector<Spec> specs;
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(listed.get()); k++)
            specs.push_back(as_spec(PySequence_Fast_GET_ITEM(listed.get(), k)));
        const char* name = PyUnicode_AsUTF8(self->name);
        std::shared_ptr<const Kernel> made = Library::get().make(name, Signature{specs, *self->outputs, *self->attrs});
        if (made) {
            *self->prepared = made;
            *self->inputs = std::move(specs);
        }
        return PyBool_FromLong(made != nullptr);
    }, nullptr);
}

PyObject* kernel_picks(PyObject* object, void*) {
    auto& picks = *reinterpret_cast<KernelObject*>(object)->picks;
    return guarded([&]() -> PyObject* {
        Ref made = checked(PyTuple_New(picks.size()));
        for (size_t k = 0; k < picks.size(); k++)
            PyTuple_SET_ITEM(made.get(), k, checked(PyLong_FromLongLong(picks[k])).release());
        return made.release();
    }, nullptr);
}

PyGetSetDef attributes[] = {
    {"picks", kernel_picks, nullptr, "Which of the arguments of a call are the inputs of the kernel.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"fits", kernel_fits, METH_O, "Whether there is a kernel for contiguous inputs of these (dtype, shape)."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
    PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
    type.tp_name = "flowbook.native._native.Kernel";
    type.tp_doc = "Kernel(name, attrs, operands, outputs, picks=None): a native kernel, called with arrays.";
    type.tp_basicsize = sizeof(KernelObject);
    type.tp_flags = Py_TPFLAGS_DEFAULT;
    type.tp_new = kernel_new;
    type.tp_dealloc = kernel_dealloc;
    type.tp_call = kernel_call;
    type.tp_repr = kernel_repr;
    type.tp_methods = methods;
    type.tp_getset = attributes;
    return type;
}

}  // namespace

PyTypeObject KernelType = make_type();

}  // namespace fb::py
