// Python objects to the types of the native library, and back. Raw C API: a call must cost next to nothing.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL flowbook_numpy
#ifndef FB_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "runtime/kernel.h"

#include <optional>

namespace fb::py {

// Raised where a Python error is set already.
struct PythonError {};

// A reference that is given back.
class Ref {
  public:
    Ref() = default;
    explicit Ref(PyObject* owned) : object(owned) {}
    Ref(Ref&& other) noexcept : object(other.release()) {}
    Ref& operator=(Ref&& other) noexcept {
        PyObject* old = object;
        object = other.release();
        Py_XDECREF(old);
        return *this;
    }
    Ref(const Ref&) = delete;
    ~Ref() { Py_XDECREF(object); }
    static Ref borrowed(PyObject* o) { return Ref(Py_XNewRef(o)); }
    PyObject* get() const { return object; }
    PyObject* release() {
        PyObject* o = object;
        object = nullptr;
        return o;
    }
    explicit operator bool() const { return object != nullptr; }

  private:
    PyObject* object = nullptr;
};

// A new reference, or a PythonError.
inline Ref checked(PyObject* o) {
    if (!o) throw PythonError();
    return Ref(o);
}

// What a kernel raises: a RuntimeError with its text, and the attributes `step` and `of_shape`.
extern PyObject* KernelErrorType;
void set_kernel_error(const char* text, long step, bool of_shape);

// Runs f; C++ errors become Python's. `failed` is what the caller returns then.
template <class F> auto guarded(F&& f, decltype(f()) failed) noexcept -> decltype(f()) {
    try {
        return f();
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const Cancelled&) {
        if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
    } catch (const ShapeError& error) {
        set_kernel_error(error.what(), -1, true);
    } catch (const Error& error) {
        set_kernel_error(error.what(), -1, false);
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return failed;
}

std::optional<DType> dtype_of(int type_num);
int type_num_of(DType dtype);
// From a NumPy name, such as "float32"; raises for others.
DType dtype_named(PyObject* name);
std::vector<int64_t> as_integers(PyObject* sequence);
Attrs as_attrs(PyObject* dict);
// (dtype, shape)
Spec as_spec(PyObject* pair);

// An array that kernels can read: native byte order, aligned, strides in whole elements; else a copy.
Ref readable(PyObject* object);
Spec spec_of(PyArrayObject* array);
// A fresh array for a spec, not filled.
Ref new_array(const Spec& spec);

}  // namespace fb::py
