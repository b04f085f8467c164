// What a plan is put together from: slots, and the steps that fill them.
#pragma once

#include "graph/draft.h"

namespace fb::graph {

class Emitter : protected Draft {
  protected:
    int32_t add_slot(const Spec& spec, Slot::Kind kind);
    Slot& slot(int32_t number);
    Type type_of(int32_t number);
    int32_t constant(const SharedArray& array);
    int32_t constant(const Number& number, DType dtype);
    static std::string inputs_text(const std::vector<Operand>& operands);
    void add_step(Step step, Called called = {});
    std::vector<int32_t> translate(const Node& node, std::vector<Operand>& operands, std::vector<int32_t>& inputs,
                                   const std::vector<Type>& types);
    // A step of a kernel; false when there is none for these inputs.
    bool kernel(const std::string& name, const Attrs& attrs, std::vector<int32_t> inputs,
                const std::vector<Type>& types,
                std::vector<int32_t>& outputs);
    int32_t only(const std::string& name, const Attrs& attrs, std::vector<int32_t> inputs, const Type& type);
    int32_t contiguous(int32_t from);
    // One elementwise op on arrays and numbers.
    int32_t compute(const std::string& op, const Attrs& attrs, const std::vector<Operand>& operands,
                    const std::vector<int32_t>& inputs, const Type& type);
    int32_t cast(int32_t from, DType dtype);
    bool elementwise(const std::string& op, const Attrs& attrs, const std::vector<Operand>& operands,
                     const std::vector<int32_t>& inputs, const Type& type, std::vector<int32_t>& outputs);
    // A kernel that has the op's name.
    bool by_name(const Node& node, const std::vector<Operand>& operands, std::vector<int32_t> inputs,
                 const std::vector<Type>& types, std::vector<int32_t>& outputs);
    // A kernel of this library's own, on operands that all have the shape and dtype of the result.
    std::vector<int32_t> extra(const Node& node, const std::vector<Operand>& operands, std::vector<int32_t> inputs,
                               const Type& type);
    // 1/k at the k entries that are the largest (or smallest).
    int32_t tie_share(const Node& node, int32_t x);
    std::vector<int32_t> views(const Node& node, int32_t source, const std::vector<Type>& types, bool needs_rows);
    std::vector<int32_t> add_views(const std::string& op, const Attrs& attrs, int32_t source,
                                   const std::vector<Type>& types);
    static double memory();
    [[noreturn]] static void too_large(double bytes);

    int32_t current = -1;             // the node that steps are of
    std::vector<int32_t> first_wait;  // steps that they wait for although no value flows
    std::unordered_map<int32_t, int32_t> last_step;  // by node
};

}  // namespace fb::graph
