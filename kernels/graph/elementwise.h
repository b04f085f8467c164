// Elementwise ops and reductions as instructions of the kernel "elementwise": the twin of flowbook/native/program.py.
#pragma once

#include "graph/types.h"

#include <unordered_map>

namespace fb::graph {

// A node that is elementwise, with concrete types.
struct Piece {
    std::string op;
    Attrs attrs;
    std::vector<Operand> inputs;
    std::vector<int32_t> slots;  // of the inputs; -1 for a number
    Type output;
    bool widen = false;  // dtypes that the kernel does not compute in go by way of int64
};

bool is_reduction(const std::string& op);
// What a piece walks over: its result, or what it reduces.
const Shape& iteration_shape(const Piece& piece);

// The instructions of one piece or more, over one iteration space. A piece has the same instructions alone and in
// company, so its result has the same bytes.
class ElementwiseProgram {
  public:
    // False for an op or dtypes that have no instructions; the program is of no use then.
    bool add(const Piece& piece, int32_t result);
    // The attributes of the kernel that gives the results in these slots.
    Attrs finish(const std::vector<int32_t>& results, const Shape& shape) const;
    const std::vector<int32_t>& inputs() const { return picks; }  // the slots that it reads

  private:
    // What an instruction reads: an input, a result, or an immediate; and its dtype.
    struct Value {
        int kind;
        int64_t index;
        DType dtype;
    };
    Value emit(int op, DType dtype, DType result, std::initializer_list<Value> operands);
    Value emit(int op, DType dtype, std::initializer_list<Value> operands) { return emit(op, dtype, dtype, operands); }
    Value number(const Number& n, DType dtype);
    Value converted_to(const Value& v, DType dtype);
    // Input k of the piece in a dtype: as an immediate, as it is, or by way of a cast.
    Value read(size_t k, DType dtype);
    bool translate(const Piece& piece, Value& result);

    std::unordered_map<int32_t, Value> made;  // by slot
    std::vector<Value> values;                // the inputs of the piece
    const Piece* piece_ = nullptr;
    std::vector<int32_t> picks;
    std::vector<int64_t> code, integers;
    std::vector<double> reals;
};

}  // namespace fb::graph
