// `Kernel`: a native kernel that Python calls with arrays, as the loop over steps and tests do.
#pragma once

#include "python/common.h"

#include <mutex>

namespace fb::py {

struct KernelObject {
    PyObject_HEAD
    PyObject* name;              // str
    Attrs* attrs;
    std::vector<DType>* operands;  // what Python's numbers among the inputs become
    std::vector<Spec>* outputs;
    std::vector<int64_t>* picks;  // which of the arguments of a call are the inputs
    // The kernel as it was prepared last, and for which inputs; another thread may be running it.
    std::shared_ptr<const Kernel>* prepared;
    std::vector<Spec>* inputs;
};

extern PyTypeObject KernelType;

// Whether `object` is a native kernel.
inline KernelObject* as_kernel(PyObject* object) {
    return Py_TYPE(object) == &KernelType ? reinterpret_cast<KernelObject*>(object) : nullptr;
}

}  // namespace fb::py
