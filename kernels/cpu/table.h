// The factories of this folder, a line for each: name and function. `table.cpp` makes the exported table of them.
#pragma once

#include "runtime/kernel.h"

namespace fb::cpu {

// clang-format off
#define FB_FACTORIES(X) \
    X("copy", make_copy) \
    X("matmul", make_matmul) \
    X("matmul_add", make_matmul_add) \
    X("pack", make_pack) \
    X("packed_matmul", make_packed_matmul) \
    X("softmax", make_softmax) \
    X("log_softmax", make_log_softmax) \
    X("logsumexp", make_logsumexp) \
    X("scaled_dot_product_attention", make_attention) \
    X("scaled_dot_product_attention_grad", make_attention_grad) \
    X("softmax_cross_entropy", make_softmax_cross_entropy) \
    X("sparse_softmax_cross_entropy", make_sparse_softmax_cross_entropy) \
    X("sparse_softmax_cross_entropy_grad", make_sparse_softmax_cross_entropy_grad) \
    X("standardize", make_standardize) \
    X("layer_norm", make_layer_norm) \
    X("batch_norm", make_batch_norm) \
    X("batch_norm_grad", make_batch_norm_grad) \
    X("var", make_var) \
    X("std", make_std) \
    X("gather", make_gather) \
    X("embedding_lookup", make_gather) \
    X("scatter_add", make_scatter_add) \
    X("one_hot", make_one_hot) \
    X("argmax", make_argmax) \
    X("argmin", make_argmin) \
    X("concat", make_concat) \
    X("stack", make_stack) \
    X("pad", make_pad) \
    X("place", make_place) \
    X("zeros_like", make_zeros_like) \
    X("ones_like", make_ones_like) \
    X("mean_weight", make_mean_weight) \
    X("causal_mask", make_causal_mask) \
    X("elementwise", make_elementwise) \
    X("conv2d", make_conv2d) \
    X("conv2d_grad_input", make_conv2d_grad_input) \
    X("conv2d_grad_filters", make_conv2d_grad_filters) \
    X("max_pool", make_max_pool) \
    X("max_pool_grad", make_max_pool_grad) \
    X("max_pool_take", make_max_pool_take) \
    X("avg_pool", make_avg_pool) \
    X("avg_pool_grad", make_avg_pool_grad) \
    X("lstm_cell", make_lstm_cell) \
    X("lstm_cell_grad", make_lstm_cell_grad) \
    X("gru_cell", make_gru_cell) \
    X("gru_cell_grad", make_gru_cell_grad) \
    X("tie_share", make_tie_share) \
    X("check_finite", make_check_finite)
// clang-format on

#define FB_DECLARE(name, make) std::unique_ptr<Kernel> make(const Signature&);
FB_FACTORIES(FB_DECLARE)
#undef FB_DECLARE

}  // namespace fb::cpu
