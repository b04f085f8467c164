// The kernel "elementwise": a small program that is run over all elements of a shape, block after block.
//
// Attributes (see flowbook/native/program.py, which writes them):
//   shape     the iteration space; every input broadcasts to it
//   code      8 integers for each instruction: opcode, dtype it computes in, and three pairs (kind, index). Kind 0 is
//             an input, 1 the result of an earlier instruction, 2 an immediate, -1 none. A cast's dtype is that of its
//             result. A reduction has the axes, a bit each, as index of its second pair.
//   reals, integers   immediates: of instructions on floats, and of the others
//   outputs   the instructions whose results are the kernel's outputs, in order
#pragma once

#include "cpu/reduce.h"

namespace fb::cpu {

struct Operand {
    enum Kind { none = -1, input = 0, result = 1, immediate = 2 } kind = none;
    int64_t index = 0;
};

struct Instruction {
    Op op;
    DType dtype;
    Operand operands[3];

    bool reduces() const { return op >= Op::reduce_sum; }
    int64_t mask() const { return operands[1].index; }
    // The dtype of the result.
    DType result() const { return op >= Op::equal && op <= Op::logical_not ? DType::b1 : dtype; }
};

struct Program {
    std::vector<int64_t> shape;
    std::vector<Instruction> code;
    std::vector<double> reals;
    std::vector<int64_t> integers, outputs;

    // Checks everything; raises Error for what no caller should write.
    explicit Program(const Signature& signature);
    DType dtype_of(const Signature& signature, const Instruction& user, int place) const;
};

// One input as it is found in a block.
struct Source {
    // direct: without gaps. row: a stretch of memory in each block. column: one element for each block. tile: the same
    // elements in each row of the walk, put together once. gather: copied for each block.
    enum Kind { direct, row, column, tile, gather } kind;
    int input;
    uint32_t slot;
    int64_t size;    // bytes of an element
    int64_t buffer;  // where in the frame the tile or the gathered block is
    std::vector<int64_t> stride;
};

// A call of a function, operands by slot.
struct Step {
    Function function;
    uint32_t d, a, b, c;
};

struct Reduction {
    const Reducer* reducer;
    uint32_t slot;
    int output;
    DType dtype;
};

struct Written {
    uint32_t slot;
    int output;
    int64_t size;
};

// How the elements are walked: in rows of `row` elements. A block is part of a row, or `rows_per_block` whole rows.
struct Walk {
    bool columns = false;  // reduces over rows; else within them, or not at all
    int64_t row = 1, rows = 0, rows_per_block = 1;
    // Rows: how a row is cut. Columns: `rows` are `outer` times `depth`, and depth is cut.
    int64_t chunk = 0, chunks = 1, outer = 1, depth = 1;
    int64_t stripes = 1;  // of a row, for columns
    int64_t rows_per_part = 1, parts = 0;
};

// The program for outputs that share one walk, ready to run.
class Pass {
  public:
    // `mask`: the reduced axes, -1 for none. False when a function is missing.
    bool prepare(const Program& program, const Signature& signature, const std::vector<int>& outputs, int64_t mask);
    void run(Work& work, const void* const* inputs, void* const* outputs) const;

    double cost = 0;
    std::vector<uint64_t> in_place;  // as of a kernel
    bool sure() const { return reductions.empty() && frame_bytes <= static_cast<int64_t>(sure_bytes); }

  private:
    struct Builder;
    struct Frame;
    void parts(Work& work, const void* const* inputs, void* const* outputs, char* temporary) const;
    void part(int64_t index, const void* const* inputs, void* const* outputs, char* temporary) const;
    void block(Frame& frame, int64_t start, int64_t n) const;
    void rows_part(Frame& frame, int64_t index, void* const* outputs, char* temporary) const;
    void columns_part(Frame& frame, int64_t index, void* const* outputs, char* temporary) const;
    void join(const std::vector<int64_t>& shape);
    void plan(int64_t size, double element_cost);
    void plan_results();
    int64_t longest() const;
    Source::Kind find(const Source& source) const;
    void gather(const Source& source, const char* from, int64_t start, int64_t n, char* to) const;
    const char* place(const Source& source, const char* from, int64_t start) const;
    void leave(size_t which, const char* acc, int64_t at, int64_t n, void* const* outputs, char* temporary) const;

    Walk walk;
    std::vector<Group> groups;    // of the reduction
    std::vector<Group> leftover;  // what the parts' accumulators are, when they have to be combined
    bool merges = false;
    double count = 1;             // elements in each mean
    int64_t temporary_size = 0;   // accumulators of one reduction

    std::vector<int64_t> dims;  // the shape, joined as far as all sources allow
    std::vector<Source> sources;
    std::vector<std::pair<uint32_t, int>> fixed;     // slots of inputs that are one element
    std::vector<std::pair<uint32_t, int64_t>> owned;  // slots of registers, and where in the frame they are
    std::vector<Written> written;
    std::vector<Step> single, steps;  // those for one element, and those for the block
    std::vector<Reduction> reductions;
    std::vector<const void*> slots;  // as a frame starts: with the immediates
    std::vector<uint64_t> immediates;
    int64_t frame_bytes = 0;
};

}  // namespace fb::cpu
