// Products of matrices of float32 or float64: C = A B, where A is m x k and B is k x n, both with any strides, and C is
// row-major with rows `c_row` apart.
//
// The sum for an element of C runs over blocks of k whose sizes depend on k alone: a chain of fused multiply-adds
// within a block, then block after block. Where m and n are small and k is huge, k is also split into groups, by a rule
// of (m, n, k). So the bytes of C depend on shapes and numbers only.
//
// B may be given as panels that `pack` made: worth it where many products of few rows share it. A product may be added
// to a matrix, with the bytes of a product and an addition one after the other.
#pragma once

#include "cpu/pack.h"
#include "runtime/kernel.h"

namespace fb::cpu {

// What a product is given beside A and B.
template <class T> struct Beside {
    const T* panels = nullptr;  // of B, which then is not read
    const T* from = nullptr;    // what it is added to, where `adds()`: it may be C itself
    int64_t from_row = 0;
};

template <class T> struct Gemm {
    Gemm(int64_t m, int64_t n, int64_t k, int64_t c_row);

    // With the help of other threads.
    void run(Work& work, Matrix<T> a, Matrix<T> b, T* c, Beside<T> beside = {}) const;
    // On this thread alone; the same bytes.
    void alone(Matrix<T> a, Matrix<T> b, T* c) const;

    // Whether it can be added to a matrix as it is made: only where the sum over k is made in one go.
    bool adds() const { return blocks == 1 && groups == 1; }

    // All panels of B, and how many numbers they are.
    void pack(Work& work, Matrix<T> b, T* panels) const;
    int64_t panels_size() const;

    double cost() const;  // nanoseconds on one core

    int64_t m, n, k, c_row;
    int64_t block = 0, blocks = 0;  // of k
    int64_t groups = 1;             // of blocks

  private:
    struct Span {
        int64_t begin, end;
    };
    void shared(Work& work, Matrix<T> a, Matrix<T> b, T* c, Beside<T> beside) const;
    void grouped(Work* work, Matrix<T> a, Matrix<T> b, T* c) const;
    void part(Matrix<T> a, Matrix<T> b, T* c, int64_t step, Span rows, Span columns, Span span,
              Beside<T> beside = {}) const;
};

}  // namespace fb::cpu
