// What flows along an edge, as flowbook/graph/types.py has it: dtype and shape, promotion and broadcasting.
//
// A dimension is a size (0 or more), `open` (unknown), or below that a name: equal names are equal sizes in a run.
#pragma once

#include "runtime/types.h"

#include <memory>

namespace fb::graph {

// What went wrong, for callers who have to decide on it.
enum class Trouble { argument, file, graph, unsupported };

class FB_VISIBLE GraphError : public Error {
  public:
    GraphError(Trouble trouble, const std::string& text) : Error(text), trouble(trouble) {}
    ~GraphError() override = default;
    Trouble trouble;
};

[[noreturn]] void bad_argument(const std::string& text);
[[noreturn]] void bad_graph(const std::string& text);
[[noreturn]] void unsupported(const std::string& text);

// A rule needs the rank of a tensor that has none.
struct UnknownRank {};

using Dim = int64_t;
using Shape = std::vector<Dim>;
constexpr Dim open = -1;
constexpr int64_t most_elements = int64_t{1} << 40;  // of one array: more is a mistake, or meant to do harm

struct Type {
    DType dtype = DType::f32;
    Shape shape;
    bool ranked = true;

    bool known() const;
    int rank() const { return static_cast<int>(dims().size()); }
    const Shape& dims() const {
        if (!ranked) throw UnknownRank();
        return shape;
    }
};

// A number of the host: weak, so an array it meets decides the dtype.
struct Number {
    enum Kind : uint8_t { boolean, integer, real } kind = real;
    int64_t i = 0;
    double r = 0;
    double as_real() const { return kind == real ? r : static_cast<double>(i); }
};

// What a rule sees of an input.
struct Operand {
    enum Kind : uint8_t { none, tensor, number } kind = none;
    Type type;
    Number number_;
    Operand() = default;
    Operand(Type type) : kind(tensor), type(std::move(type)) {}
    Operand(Number number) : kind(number_kind()), number_(number) {}

  private:
    static Kind number_kind() { return Kind::number; }
};

const char* name_of(DType dtype);
bool dtype_named(const std::string& name, DType& dtype);
// NumPy's letter: b, i, u or f.
char kind_of(DType dtype);
DType float_of(DType dtype);
bool casts_same_kind(DType from, DType to);
DType promote(DType a, DType b);
DType promote(const std::vector<Operand>& operands);
DType weak_dtype(const Number& number);
// The least and the greatest integer that 64 bits can say of an integer dtype.
bool holds(DType dtype, int64_t number);

std::string text_of(const Shape& shape);
std::string text_of(const Type& type);
// The number of elements; Error when there are too many. Open sizes count as 1.
int64_t elements(const Shape& shape);
// Error unless it is a shape that arrays can have.
void check_shape(const Shape& shape);
Spec spec_of(const Type& type);

// Two sizes that have to be equal; false when they cannot be.
bool unify(Dim& into, Dim other);
bool unify(Shape& into, const Shape& other);
bool unify(Type& into, const Type& other);  // shapes only; an unknown rank fits any
// NumPy's broadcasting; false when shapes do not fit.
bool broadcast(Shape& into, const Shape& other);
int normal_axis(int64_t axis, int rank);

// An array that nobody changes once it is shared.
class Array {
  public:
    explicit Array(const Spec& spec);
    ~Array();
    Array(const Array&) = delete;
    Spec spec;
    void* data = nullptr;
};
using SharedArray = std::shared_ptr<const Array>;

}  // namespace fb::graph
