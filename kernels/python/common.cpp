#include "python/common.h"

namespace fb::py {

namespace {

struct Named {
    const char* name;
    int number;
};
// By DType.
const Named types[dtype_count] = {
    {"bool", NPY_BOOL},     {"int8", NPY_INT8},     {"int16", NPY_INT16},   {"int32", NPY_INT32},
    {"int64", NPY_INT64},   {"uint8", NPY_UINT8},   {"uint16", NPY_UINT16}, {"uint32", NPY_UINT32},
    {"uint64", NPY_UINT64}, {"float32", NPY_FLOAT32}, {"float64", NPY_FLOAT64},
};

Attr as_attr(PyObject* value) {
    Attr a;
    if (value == Py_None) return a;
    if (PyBool_Check(value) || PyLong_Check(value)) {
        int overflow = 0;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow) throw Error("an attribute is too large");
        if (number == -1 && PyErr_Occurred()) throw PythonError();
        a.kind = Attr::integer;
        a.i = {number};
    } else if (PyFloat_Check(value)) {
        a.kind = Attr::real;
        a.r = {PyFloat_AS_DOUBLE(value)};
    } else if (PyUnicode_Check(value)) {
        Py_ssize_t length = 0;
        const char* text = PyUnicode_AsUTF8AndSize(value, &length);
        if (!text) throw PythonError();
        a.kind = Attr::text;
        a.s.assign(text, length);
    } else if (PyTuple_Check(value)) {
        bool whole = true, numbers = true;
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(value); k++) {
            PyObject* each = PyTuple_GET_ITEM(value, k);
            whole = whole && PyLong_Check(each);
            numbers = numbers && (PyFloat_Check(each) || PyLong_Check(each));
        }
        if (!numbers) {
            a.kind = Attr::list;
            for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(value); k++)
                a.items.push_back(as_attr(PyTuple_GET_ITEM(value, k)));
            return a;
        }
        a.kind = whole ? Attr::integers : Attr::reals;
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(value); k++) {
            PyObject* each = PyTuple_GET_ITEM(value, k);
            if (whole)
                a.i.push_back(PyLong_AsLongLong(each));
            else
                a.r.push_back(PyFloat_AsDouble(each));
        }
        if (PyErr_Occurred()) throw PythonError();
    } else {
        throw Error("an attribute is no plain value");
    }
    return a;
}

}  // namespace

PyObject* KernelErrorType = nullptr;

void set_kernel_error(const char* text, long step, bool of_shape) {
    Ref error(PyObject_CallFunction(KernelErrorType, "s", text)), number(PyLong_FromLong(step));
    if (!error || !number || PyObject_SetAttrString(error.get(), "step", number.get()) < 0 ||
        PyObject_SetAttrString(error.get(), "of_shape", of_shape ? Py_True : Py_False) < 0)
        return;
    PyErr_SetObject(KernelErrorType, error.get());
}

std::optional<DType> dtype_of(int type_num) {
    for (int i = 0; i < dtype_count; i++)
        if (types[i].number == type_num) return static_cast<DType>(i);
    // Platforms have two C types of one size; NumPy tells them apart.
    if (type_num == NPY_LONGLONG) return sizeof(long long) == 8 ? std::optional(DType::i64) : std::nullopt;
    if (type_num == NPY_ULONGLONG) return sizeof(long long) == 8 ? std::optional(DType::u64) : std::nullopt;
    return std::nullopt;
}

int type_num_of(DType dtype) { return types[static_cast<int>(dtype)].number; }

DType dtype_named(PyObject* name) {
    const char* text = PyUnicode_AsUTF8(name);
    if (!text) throw PythonError();
    for (int i = 0; i < dtype_count; i++)
        if (std::strcmp(types[i].name, text) == 0) return static_cast<DType>(i);
    throw Error(std::string("no kernel knows the dtype ") + text);
}

std::vector<int64_t> as_integers(PyObject* sequence) {
    Ref fast = checked(PySequence_Fast(sequence, "a sequence of ints"));
    std::vector<int64_t> found;
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(fast.get()); k++) {
        found.push_back(PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast.get(), k)));
        if (found.back() == -1 && PyErr_Occurred()) throw PythonError();
    }
    return found;
}

Attrs as_attrs(PyObject* dict) {
    Attrs attrs;
    PyObject *key, *value;
    Py_ssize_t place = 0;
    while (PyDict_Next(dict, &place, &key, &value)) {
        const char* name = PyUnicode_AsUTF8(key);
        if (!name) throw PythonError();
        attrs.all[name] = as_attr(value);
    }
    return attrs;
}

Spec as_spec(PyObject* pair) {
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) throw Error("a spec is a pair (dtype, shape)");
    return make_spec(dtype_named(PyTuple_GET_ITEM(pair, 0)), as_integers(PyTuple_GET_ITEM(pair, 1)));
}

Ref readable(PyObject* object) {
    Ref array;
    if (PyArray_Check(object))
        array = Ref::borrowed(object);
    else
        array = checked(PyArray_FromAny(object, nullptr, 0, 0, 0, nullptr));
    auto a = reinterpret_cast<PyArrayObject*>(array.get());
    if (!dtype_of(PyArray_TYPE(a))) throw Error("an array of a dtype that no kernel knows");
    if (PyArray_NDIM(a) > max_rank) throw Error("an array of more than 8 axes");
    bool fits = PyArray_ISNOTSWAPPED(a) && PyArray_ISALIGNED(a);
    npy_intp item = PyArray_ITEMSIZE(a);
    for (int i = 0; i < PyArray_NDIM(a); i++) fits = fits && PyArray_STRIDE(a, i) % item == 0;
    if (fits) return array;
    return checked(reinterpret_cast<PyObject*>(PyArray_FromArray(
        a, PyArray_DescrFromType(PyArray_TYPE(a)), NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED)));
}

Spec spec_of(PyArrayObject* a) {
    Spec s;
    s.dtype = *dtype_of(PyArray_TYPE(a));
    s.rank = PyArray_NDIM(a);
    npy_intp item = PyArray_ITEMSIZE(a);
    for (int i = 0; i < s.rank; i++) {
        s.shape[i] = PyArray_DIM(a, i);
        s.stride[i] = PyArray_STRIDE(a, i) / item;
    }
    return s;
}

Ref new_array(const Spec& spec) {
    npy_intp shape[max_rank];
    for (int i = 0; i < spec.rank; i++) shape[i] = spec.shape[i];
    return checked(PyArray_SimpleNew(spec.rank, shape, type_num_of(spec.dtype)));
}

}  // namespace fb::py
