// A matrix times a vector, y = A x, for A of m x k numbers with any strides; also a vector times a matrix, which is the
// product with the transposed matrix.
//
// An element of y is summed up in as many lanes as 64 bytes hold, on every CPU: lane l takes k = l, l + lanes, ..., and
// at the end lanes are added in pairs. So its bytes depend neither on how A lies nor on the width of vectors.
#pragma once

#include "cpu/pack.h"
#include "runtime/kernel.h"

namespace fb::cpu {

// y is contiguous. With no `work` all is done on this thread.
template <class T>
void gemv(Work* work, Matrix<T> a, int64_t m, int64_t k, const T* x, int64_t x_step, T* y);

double gemv_cost(int64_t m, int64_t k, int64_t item);

}  // namespace fb::cpu
