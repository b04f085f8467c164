#include "graph/types.h"

#include <algorithm>
#include <new>

namespace fb::graph {

void bad_argument(const std::string& text) { throw GraphError(Trouble::argument, text); }
void bad_graph(const std::string& text) { throw GraphError(Trouble::graph, text); }
void unsupported(const std::string& text) { throw GraphError(Trouble::unsupported, text); }

namespace {

constexpr const char* names[dtype_count] = {"bool",  "int8",   "int16",  "int32",   "int64",  "uint8",
                                            "uint16", "uint32", "uint64", "float32", "float64"};

}  // namespace

bool Type::known() const {
    return ranked && std::all_of(shape.begin(), shape.end(), [](Dim dim) { return dim >= 0; });
}

const char* name_of(DType dtype) { return names[static_cast<int>(dtype)]; }

bool dtype_named(const std::string& name, DType& dtype) {
    for (int i = 0; i < dtype_count; i++)
        if (name == names[i]) {
            dtype = static_cast<DType>(i);
            return true;
        }
    return false;
}

char kind_of(DType dtype) {
    if (dtype == DType::b1) return 'b';
    if (is_float(dtype)) return 'f';
    return dtype <= DType::i64 ? 'i' : 'u';
}

DType float_of(DType dtype) { return is_float(dtype) ? dtype : DType::f64; }

bool casts_same_kind(DType from, DType to) {
    static const std::string order = "buif";
    return order.find(kind_of(from)) <= order.find(kind_of(to));
}

DType promote(DType a, DType b) {
    if (a == b || b == DType::b1) return a;
    if (a == DType::b1) return b;
    char ka = kind_of(a), kb = kind_of(b);
    if (ka == kb) return size_of(a) >= size_of(b) ? a : b;
    if (ka == 'f' || kb == 'f') {
        DType real = ka == 'f' ? a : b, whole = ka == 'f' ? b : a;
        return size_of(whole) <= 2 ? real : DType::f64;
    }
    DType sign = ka == 'i' ? a : b, plain = ka == 'i' ? b : a;
    int64_t size = std::max(size_of(sign), 2 * size_of(plain));
    return size == 2 ? DType::i16 : size == 4 ? DType::i32 : size == 8 ? DType::i64 : DType::f64;
}

DType weak_dtype(const Number& number) {
    return number.kind == Number::boolean ? DType::b1 : number.kind == Number::integer ? DType::i64 : DType::f32;
}

DType promote(const std::vector<Operand>& operands) {
    bool arrays = false;
    DType dtype = DType::b1;
    int weak = -1;
    for (const Operand& each : operands) {
        if (each.kind == Operand::tensor) {
            dtype = arrays ? promote(dtype, each.type.dtype) : each.type.dtype;
            arrays = true;
        } else if (each.kind == Operand::number) {
            weak = std::max(weak, static_cast<int>(each.number_.kind));
        }
    }
    if (!arrays) return weak < 0 ? DType::f32 : weak_dtype({static_cast<Number::Kind>(weak), 0, 0});
    if (weak == Number::integer && dtype == DType::b1) return DType::i64;
    if (weak == Number::real && !is_float(dtype)) return DType::f64;
    return dtype;
}

bool holds(DType dtype, int64_t number) {
    if (is_float(dtype)) return true;
    int bits = static_cast<int>(size_of(dtype)) * 8;
    switch (kind_of(dtype)) {
        case 'b': return number == 0 || number == 1;
        case 'u': return number >= 0 && (bits == 64 || number < int64_t{1} << bits);
        default: return bits == 64 || (number >= -(int64_t{1} << (bits - 1)) && number < int64_t{1} << (bits - 1));
    }
}

std::string text_of(const Shape& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++)
        text += (i ? ", " : "") + (shape[i] < 0 ? std::string("?") : std::to_string(shape[i]));
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string text_of(const Type& type) {
    return std::string(name_of(type.dtype)) + " " + (type.ranked ? text_of(type.shape) : "(unknown rank)");
}

int64_t elements(const Shape& shape) {
    // Sizes 0 aside, the product has to fit as well: strides come from it.
    int64_t all = 1;
    bool empty = false;
    for (Dim dim : shape) {
        if (dim == 0) empty = true;
        if (dim <= 1) continue;
        if (all > most_elements / dim) bad_graph("shape " + text_of(shape) + " has too many elements");
        all *= dim;
    }
    return empty ? 0 : all;
}

void check_shape(const Shape& shape) {
    if (shape.size() > max_rank) unsupported("shape " + text_of(shape) + " has more than 8 axes");
    elements(shape);
}

Spec spec_of(const Type& type) {
    check_shape(type.dims());
    if (!type.known()) bad_graph("a shape is not known: " + text_of(type));
    return make_spec(type.dtype, type.shape);
}

bool unify(Dim& into, Dim other) {
    if (into == other || other == open) return true;
    if (into == open) {
        into = other;
        return true;
    }
    if (into >= 0) return other < 0;
    into = other >= 0 ? other : open;
    return true;
}

bool unify(Shape& into, const Shape& other) {
    if (into.size() != other.size()) return false;
    for (size_t i = 0; i < into.size(); i++)
        if (!unify(into[i], other[i])) return false;
    return true;
}

bool unify(Type& into, const Type& other) {
    if (!other.ranked) return true;
    if (!into.ranked) {
        into.shape = other.shape;
        into.ranked = true;
        return true;
    }
    return unify(into.shape, other.shape);
}

bool broadcast(Shape& into, const Shape& other) {
    if (into.size() < other.size()) into.insert(into.begin(), other.size() - into.size(), 1);
    size_t head = into.size() - other.size();
    for (size_t i = 0; i < other.size(); i++) {
        Dim &a = into[head + i], b = other[i];
        if (a == b || b == 1) continue;
        if (a == 1) a = b;
        else if (a >= 0 && b >= 0) return false;
        else if (a < 0) a = b >= 0 ? b : open;
    }
    return true;
}

int normal_axis(int64_t axis, int rank) {
    if (axis < -rank || axis >= rank)
        bad_graph("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Array::Array(const Spec& given) : spec(given) {
    spec.set_contiguous();
    data = ::operator new(static_cast<size_t>(std::max<int64_t>(spec.bytes(), 1)), std::align_val_t{64});
}

Array::~Array() { ::operator delete(data, std::align_val_t{64}); }

}  // namespace fb::graph
