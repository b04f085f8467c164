// Products of matrices of float32 or float64: C = A B, where A is m x k and B is k x n, both with any strides, and C is
// row-major with rows `c_row` apart.
//
// The sum for an element of C runs over blocks of k whose sizes depend on k alone: a chain of fused multiply-adds
// within a block, then block after block. Where m and n are small and k is huge, k is also split into groups, by a rule
// of (m, n, k). So the bytes of C depend on shapes and numbers only.
#pragma once

#include "cpu/pack.h"
#include "runtime/kernel.h"

namespace fb::cpu {

template <class T> struct Gemm {
    Gemm(int64_t m, int64_t n, int64_t k, int64_t c_row);

    // With the help of other threads.
    void run(Work& work, Matrix<T> a, Matrix<T> b, T* c) const;
    // On this thread alone; the same bytes.
    void alone(Matrix<T> a, Matrix<T> b, T* c) const;

    double cost() const;  // nanoseconds on one core

    int64_t m, n, k, c_row;
    int64_t block = 0, blocks = 0;  // of k
    int64_t groups = 1;             // of blocks

  private:
    struct Span {
        int64_t begin, end;
    };
    void shared(Work& work, Matrix<T> a, Matrix<T> b, T* c) const;
    void grouped(Work* work, Matrix<T> a, Matrix<T> b, T* c) const;
    void part(Matrix<T> a, Matrix<T> b, T* c, int64_t step, Span rows, Span columns, Span span) const;
};

}  // namespace fb::cpu
