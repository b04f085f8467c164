// Products of matrices and vectors, with axes before them that broadcast.
#include "cpu/gemm.h"
#include "cpu/gemv.h"
#include "cpu/table.h"

#include <algorithm>

namespace fb::cpu {

namespace {

// How many matrices, of which size, and where in each operand matrix number i begins.
struct Batch {
    int64_t m = 1, n = 1, k = 1, count = 1;
    int rank = 0;
    int64_t shape[max_rank] = {}, x[max_rank] = {}, y[max_rank] = {};
    int64_t x_row = 0, x_column = 1, y_row = 1, y_column = 0;
    bool joined = false;  // the matrices on the left lie one after the other, below one another

    void locate(int64_t i, int64_t& at_x, int64_t& at_y) const {
        at_x = at_y = 0;
        for (int axis = rank - 1; axis >= 0; axis--) {
            int64_t place = i % shape[axis];
            i /= shape[axis];
            at_x += place * x[axis];
            at_y += place * y[axis];
        }
    }
};

Batch batch_of(const Spec& x, const Spec& y) {
    Batch b;
    const int row = x.rank == 1 ? 1 : 2, column = y.rank == 1 ? 1 : 2;  // axes of the matrices themselves
    b.k = x.shape[x.rank - 1];
    b.x_column = x.stride[x.rank - 1];
    if (row == 2) b.m = x.shape[x.rank - 2], b.x_row = x.stride[x.rank - 2];
    b.y_row = y.stride[y.rank - column];
    if (column == 2) b.n = y.shape[y.rank - 1], b.y_column = y.stride[y.rank - 1];
    b.rank = std::max(x.rank - row, y.rank - column);
    for (int axis = 0; axis < b.rank; axis++) {
        const int i = axis - b.rank + x.rank - row, j = axis - b.rank + y.rank - column;
        const int64_t left = i < 0 ? 1 : x.shape[i], right = j < 0 ? 1 : y.shape[j];
        b.shape[axis] = left == 1 ? right : left;
        b.count *= b.shape[axis];
        b.x[axis] = left == 1 ? 0 : x.stride[i];
        b.y[axis] = right == 1 ? 0 : y.stride[j];
    }
    return b;
}

// One matrix on the right for all on the left: that is one product with all their rows. True when they can be read as
// one matrix where they lie.
bool join(Batch& b) {
    int64_t rows = b.m, step = b.x_row;
    bool lies = true;
    for (int axis = b.rank - 1; axis >= 0; axis--) {
        if (b.shape[axis] == 1) continue;
        if (rows == 1)
            step = b.x[axis];
        else
            lies = lies && b.x[axis] == step * rows;
        rows *= b.shape[axis];
    }
    b.m = rows;
    b.x_row = step;
    b.rank = 0;
    b.count = 1;
    return lies;
}

template <class T> void gather(const Spec& x, const T* from, T* to) {
    const int64_t inner = x.shape[x.rank - 1], step = x.stride[x.rank - 1], rows = inner ? x.size() / inner : 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t rest = row, at = 0;
        for (int axis = x.rank - 2; axis >= 0; axis--) {
            at += rest % x.shape[axis] * x.stride[axis];
            rest /= x.shape[axis];
        }
        for (int64_t i = 0; i < inner; i++) *to++ = from[at + i * step];
    }
}

// Product number i of a batch.
template <class T> void product(const Batch& b, const Gemm<T>& gemm, Work* work, int64_t i, const T* x, const T* y,
             T* z) {
    int64_t at_x, at_y;
    b.locate(i, at_x, at_y);
    x += at_x;
    y += at_y;
    z += i * b.m * b.n;
    if (b.n == 1)
        gemv<T>(work, {x, b.x_row, b.x_column}, b.m, b.k, y, b.y_row, z);
    else if (b.m == 1)
        gemv<T>(work, {y, b.y_column, b.y_row}, b.n, b.k, x, b.x_column, z);
    else if (work)
        gemm.run(*work, {x, b.x_row, b.x_column}, {y, b.y_row, b.y_column}, z);
    else
        gemm.alone({x, b.x_row, b.x_column}, {y, b.y_row, b.y_column}, z);
}

template <class T> std::unique_ptr<Kernel> matmul(const Signature& s) {
    const Spec x_spec = s.inputs[0];
    Batch b = batch_of(x_spec, s.inputs[1]);
    int64_t rights = 1;
    for (int axis = 0; axis < s.inputs[1].rank - 2; axis++) rights *= s.inputs[1].shape[axis];
    const bool copies = rights == 1 && b.count > 1 && !join(b);
    if (copies) b.x_row = b.k, b.x_column = 1;
    if (b.k == 1) b.x_column = 1, b.y_row = 1;
    const Gemm<T> gemm(b.m, b.n, b.k, b.n);
    const bool vector = b.m == 1 || b.n == 1;
    const double each = vector ? gemv_cost(b.m * b.n, b.k, sizeof(T)) : gemm.cost();
    const double flops = 2.0 * b.m * b.n * b.k;
    const double nanoseconds = each * b.count + (copies ? x_spec.size() * 1.0 : 0);
    const int64_t some = std::max<int64_t>(static_cast<int64_t>(50000 / each), 1);  // products in a part
    const bool small = nanoseconds < 15000, by_products = b.count >= 8 || (b.count > 1 && flops < 8e6);
    return kernel(nanoseconds, [=](Work& work, const void* const* in, void* const* out) {
        auto x = static_cast<const T*>(in[0]), y = static_cast<const T*>(in[1]);
        auto z = static_cast<T*>(out[0]);
        Scratch copy(copies ? x_spec.bytes() : 0);
        if (copies) {
            gather(x_spec, x, copy.as<T>());
            x = copy.as<T>();
        }
        if (small) {
            for (int64_t i = 0; i < b.count; i++) product<T>(b, gemm, nullptr, i, x, y, z);
        } else if (by_products) {
            work.parallel((b.count + some - 1) / some, [&](int64_t part) {
                for (int64_t i = part * some; i < std::min((part + 1) * some, b.count); i++)
                    product<T>(b, gemm, nullptr, i, x, y, z);
            });
        } else {
            for (int64_t i = 0; i < b.count; i++) product<T>(b, gemm, &work, i, x, y, z);
        }
    });
}

// Integers, which wrap around: a row of the result at a time.
template <class T> std::unique_ptr<Kernel> whole(const Signature& s) {
    typedef std::make_unsigned_t<T> U;
    const Batch b = batch_of(s.inputs[0], s.inputs[1]);
    const double each = 1.0 * b.n * b.k;
    const int64_t rows = b.count * b.m, some = std::max<int64_t>(static_cast<int64_t>(50000 / std::max(each, 1.0)), 1);
    return kernel(30 + each * rows, [=](Work& work, const void* const* in, void* const* out) {
        auto part = [&](int64_t number) {
            for (int64_t row = number * some; row < std::min((number + 1) * some, rows); row++) {
                int64_t at_x, at_y;
                b.locate(row / b.m, at_x, at_y);
                auto x = static_cast<const T*>(in[0]) + at_x + row % b.m * b.x_row;
                auto y = static_cast<const T*>(in[1]) + at_y;
                auto z = static_cast<T*>(out[0]) + row * b.n;
                std::fill_n(z, b.n, T(0));
                for (int64_t p = 0; p < b.k; p++, x += b.x_column, y += b.y_row) {
                    const U left = static_cast<U>(*x);
                    for (int64_t j = 0; j < b.n; j++)
                        z[j] = static_cast<T>(static_cast<U>(z[j]) + left * static_cast<U>(y[j * b.y_column]));
                }
            }
        };
        work.parallel((rows + some - 1) / some, part);
    });
}

}  // namespace

std::unique_ptr<Kernel> make_matmul(const Signature& s) {
    const Spec &x = s.inputs[0], &y = s.inputs[1];
    if (x.dtype != y.dtype || s.outputs[0].dtype != x.dtype || !x.rank || !y.rank) return nullptr;
    if (x.shape[x.rank - 1] != y.shape[std::max(y.rank - 2, 0)]) return nullptr;
    switch (x.dtype) {
        case DType::f32: return matmul<float>(s);
        case DType::f64: return matmul<double>(s);
        case DType::i32: return whole<int32_t>(s);
        case DType::i64: return whole<int64_t>(s);
        default: return nullptr;
    }
}

}  // namespace fb::cpu
