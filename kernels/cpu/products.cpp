// Products that the compiler makes of others: added to a matrix as they are made, and with a right operand that was
// packed once for many of them. Each element is the one that a product alone, and an addition after it, would give.
#include "cpu/gemm.h"
#include "cpu/table.h"

namespace fb::cpu {

namespace {

template <class T> Matrix<T> matrix(const Spec& spec, const void* data) {
    return {static_cast<const T*>(data), spec.stride[0], spec.stride[1]};
}

bool float_matrices(const Signature& s, size_t from) {
    const DType dtype = s.outputs[0].dtype;
    if (dtype != DType::f32 && dtype != DType::f64) return false;
    for (size_t i = from; i < s.inputs.size(); i++)
        if (s.inputs[i].dtype != dtype || s.inputs[i].rank != 2) return false;
    return true;
}

// Packed panels of a matrix of k x n numbers, for `packed_matmul`; the result has room for them on every CPU.
template <class T> std::unique_ptr<Kernel> pack(const Signature& s) {
    const Spec y = s.inputs[0];
    const Gemm<T> gemm(1, y.shape[1], y.shape[0], y.shape[1]);
    if (s.outputs[0].size() < gemm.panels_size()) return nullptr;
    return kernel(100 + y.size() * 0.3, [=](Work& work, const void* const* in, void* const* out) {
        gemm.pack(work, matrix<T>(y, in[0]), static_cast<T*>(out[0]));
    });
}

// x y, or x y + z. Inputs: x, then y or its panels, then z.
template <class T> std::unique_ptr<Kernel> product(const Signature& s, bool packed) {
    const Spec x = s.inputs[0], y = s.inputs[1], out_spec = s.outputs[0];
    const int64_t m = out_spec.shape[0], n = out_spec.shape[1], k = x.shape[1];
    const Gemm<T> gemm(m, n, k, n);
    const bool adds = s.inputs.size() == 3;
    // What `matmul` does in another way has other bytes.
    if (m < 2 || n < 2 || k < 1 || x.shape[0] != m || gemm.groups > 1) return nullptr;
    if (packed ? y.rank != 1 || y.size() < gemm.panels_size() : y.shape[0] != k || y.shape[1] != n) return nullptr;
    if (adds && (!gemm.adds() || !s.inputs[2].same_shape(out_spec) || s.inputs[2].stride[1] != 1)) return nullptr;
    const int64_t from_row = adds ? s.inputs[2].stride[0] : 0;
    auto made = kernel(gemm.cost(), [=](Work& work, const void* const* in, void* const* out) {
        Beside<T> beside;
        if (packed) beside.panels = static_cast<const T*>(in[1]);
        if (adds) beside.from = static_cast<const T*>(in[2]), beside.from_row = from_row;
        gemm.run(work, matrix<T>(x, in[0]), packed ? Matrix<T>{} : matrix<T>(y, in[1]), static_cast<T*>(out[0]), beside);
    });
    if (adds && s.inputs[2].contiguous()) made->in_place = {uint64_t{1} << 2};
    return made;
}

std::unique_ptr<Kernel> product(const Signature& s, bool packed) {
    if (s.inputs.size() < 2 || s.inputs.size() > 3 || s.outputs[0].rank != 2) return nullptr;
    if (s.inputs[0].rank != 2 || s.inputs[0].dtype != s.outputs[0].dtype) return nullptr;
    if (packed && s.inputs[1].dtype != s.outputs[0].dtype) return nullptr;
    if (!float_matrices(s, packed ? 2 : 1)) return nullptr;
    return s.outputs[0].dtype == DType::f32 ? product<float>(s, packed) : product<double>(s, packed);
}

}  // namespace

std::unique_ptr<Kernel> make_pack(const Signature& s) {
    if (s.inputs.size() != 1 || !float_matrices(s, 0) || s.outputs[0].rank != 1) return nullptr;
    if (s.inputs[0].size() == 0) return nullptr;
    return s.outputs[0].dtype == DType::f32 ? pack<float>(s) : pack<double>(s);
}

std::unique_ptr<Kernel> make_packed_matmul(const Signature& s) { return product(s, true); }

std::unique_ptr<Kernel> make_matmul_add(const Signature& s) { return product(s, false); }

}  // namespace fb::cpu
