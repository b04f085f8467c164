#include "graph/elementwise.h"

#include "graph/rules.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace fb::graph {

namespace {

// kernels/cpu/functions.h has the same numbers.
enum Code : int {
    cast, add, subtract, multiply, divide, floor_divide, remainder, power, minimum, maximum,
    negative, absolute, sign, sqrt, sin, cos, exp, log, log1p, tanh, sigmoid, gelu,
    equal, not_equal, less, less_equal, isnan, isfinite, logical_not, where,
    reduce_sum, reduce_prod, reduce_max, reduce_min, reduce_mean,
};

// What dtypes an op computes in, and how its instructions look.
enum Family : int {
    plain,       // add and the like: bools too
    numeric,     // not for bools
    floating,    // in the float dtype of the result
    raised,      // power
    squared, rectified, clipped, chosen, compared, logic, odd, converted, assigned, updated, filled, sigmoid_loss,
        reduction, summed_back,
};

struct Row {
    Family family;
    Code code;
    bool modular = false;  // whether 64 bits that wrap around give the right low bits, also of uint64
};

const std::unordered_map<std::string, Row>& table() {
    static const auto* made = new std::unordered_map<std::string, Row>{
        {"add", {plain, add, true}}, {"multiply", {plain, multiply, true}}, {"minimum", {plain, minimum}},
        {"maximum", {plain, maximum}}, {"clip", {clipped, maximum}}, {"subtract", {numeric, subtract, true}},
        {"floor_divide", {numeric, floor_divide}}, {"remainder", {numeric, remainder}},
        {"negative", {numeric, negative, true}}, {"abs", {numeric, absolute}}, {"sign", {numeric, sign}},
        {"square", {squared, multiply, true}}, {"relu", {rectified, maximum}}, {"divide", {floating, divide}},
        {"sqrt", {floating, sqrt}}, {"sin", {floating, sin}}, {"cos", {floating, cos}}, {"exp", {floating, exp}},
        {"log", {floating, log}}, {"tanh", {floating, tanh}}, {"sigmoid", {floating, sigmoid}},
        {"gelu", {floating, gelu}}, {"sigmoid_cross_entropy", {sigmoid_loss, log1p}},
        {"power", {raised, power, true}}, {"where", {chosen, where, true}},
        {"equal", {compared, equal, true}}, {"not_equal", {compared, not_equal, true}}, {"less", {compared, less}},
        {"less_equal", {compared, less_equal}}, {"greater", {compared, less}},
        {"greater_equal", {compared, less_equal}}, {"logical_and", {logic, multiply}}, {"logical_or", {logic, add}},
        {"logical_xor", {logic, not_equal}}, {"logical_not", {logic, logical_not}}, {"isnan", {odd, isnan}},
        {"isfinite", {odd, isfinite}}, {"astype", {converted, cast}}, {"assign", {assigned, cast}},
        {"assign_add", {updated, add, true}}, {"assign_sub", {updated, subtract, true}},
        {"zeros_like", {filled, cast}}, {"ones_like", {filled, cast}}, {"sum", {reduction, reduce_sum, true}},
        {"mean", {reduction, reduce_mean}}, {"max", {reduction, reduce_max}}, {"min", {reduction, reduce_min}},
        {"any", {reduction, reduce_max}}, {"all", {reduction, reduce_min}}, {"unbroadcast", {summed_back, reduce_sum}},
    };
    return *made;
}

bool computed(DType t) { return t == DType::b1 || t == DType::i32 || t == DType::i64 || is_float(t); }

// The dtype that operands are computed in; false where one is a number that it cannot hold.
bool common(const std::vector<Operand>& inputs, size_t first, DType& dtype) {
    dtype = promote({inputs.begin() + first, inputs.end()});
    char kind = kind_of(dtype);
    for (size_t k = first; k < inputs.size(); k++)
        if (inputs[k].kind == Operand::number && inputs[k].number_.kind == Number::integer &&
            (kind == 'i' || kind == 'u') &&
            !holds(dtype, inputs[k].number_.i))
            return false;
    return true;
}

// The dtype to compute in, for operands that have `dtype` in common.
bool settle(DType& dtype, const Row& row, bool widen) {
    if (computed(dtype)) return true;
    if (!widen || (dtype == DType::u64 && !row.modular)) return false;
    dtype = DType::i64;
    return true;
}

}  // namespace

bool is_reduction(const std::string& op) {
    auto row = table().find(op);
    return row != table().end() && (row->second.family == reduction || row->second.family == summed_back);
}

const Shape& iteration_shape(const Piece& piece) {
    return is_reduction(piece.op) ? piece.inputs[0].type.shape : piece.output.shape;
}

ElementwiseProgram::Value ElementwiseProgram::emit(int op, DType dtype, DType result,
                                                   std::initializer_list<Value> operands) {
    int64_t index = static_cast<int64_t>(code.size()) / 8;
    code.push_back(op);
    code.push_back(static_cast<int>(dtype));
    for (const Value& each : operands) {
        code.push_back(each.kind);
        code.push_back(each.index);
    }
    for (size_t k = operands.size(); k < 3; k++) {
        code.push_back(-1);
        code.push_back(0);
    }
    return {1, index, result};
}

ElementwiseProgram::Value ElementwiseProgram::number(const Number& n, DType dtype) {
    if (is_float(dtype)) {
        reals.push_back(n.as_real());
        return {2, static_cast<int64_t>(reals.size()) - 1, dtype};
    }
    int64_t whole = n.i;
    if (n.kind == Number::real) whole = std::abs(n.r) < 9e18 ? static_cast<int64_t>(n.r) : 0;
    integers.push_back(dtype == DType::b1 ? n.as_real() != 0 : whole);
    return {2, static_cast<int64_t>(integers.size()) - 1, dtype};
}

ElementwiseProgram::Value ElementwiseProgram::converted_to(const Value& v, DType dtype) {
    return v.dtype == dtype ? v : emit(cast, dtype, {v});
}

ElementwiseProgram::Value ElementwiseProgram::read(size_t k, DType dtype) {
    const Operand& input = piece_->inputs[k];
    return input.kind == Operand::number ? number(input.number_, dtype) : converted_to(values[k], dtype);
}

bool ElementwiseProgram::add(const Piece& piece, int32_t slot) {
    piece_ = &piece;
    values.assign(piece.inputs.size(), {});
    for (size_t k = 0; k < piece.inputs.size(); k++) {
        if (piece.inputs[k].kind == Operand::none) return false;
        if (piece.inputs[k].kind != Operand::tensor) continue;
        auto found = made.find(piece.slots[k]);
        if (found == made.end()) {
            Value input{0, static_cast<int64_t>(picks.size()), piece.inputs[k].type.dtype};
            found = made.emplace(piece.slots[k], input).first;
            picks.push_back(piece.slots[k]);
        }
        values[k] = found->second;
    }
    Value result{};
    if (!translate(piece, result)) return false;
    made[slot] = result;
    return true;
}

Attrs ElementwiseProgram::finish(const std::vector<int32_t>& results, const Shape& shape) const {
    Attrs attrs;
    auto set = [&](const char* name, std::vector<int64_t> list) {
        Attr a;
        a.kind = Attr::integers;
        a.i = std::move(list);
        attrs.all[name] = std::move(a);
    };
    std::vector<int64_t> outputs;
    for (int32_t each : results) outputs.push_back(made.at(each).index);
    set("shape", shape);
    set("code", code);
    set("integers", integers);
    set("outputs", outputs);
    Attr a;
    a.kind = Attr::reals;
    a.r = reals;
    attrs.all["reals"] = std::move(a);
    return attrs;
}

bool ElementwiseProgram::translate(const Piece& piece, Value& result) {
    const std::string& op = piece.op;
    const std::vector<Operand>& inputs = piece.inputs;
    const Type& output = piece.output;
    bool widen = piece.widen;
    auto found = table().find(op);
    if (found == table().end()) return false;
    const Row& row = found->second;
    DType target = output.dtype, dtype = target;
    auto finish = [&] {
        result = converted_to(result, target);
        return true;
    };
    bool fits = true;
    switch (row.family) {
        case plain:
        case numeric:
        case floating:
        case squared:
        case rectified:
        case clipped:
        case raised:
        case sigmoid_loss:
            fits = common(inputs, 0, dtype);
            break;
        case updated:
        case compared:
            fits = common(inputs, 0, dtype);
            break;
        case chosen:
            fits = common(inputs, 1, dtype);
            break;
        default: break;
    }
    if (!fits) return false;
    Number zero{Number::integer, 0, 0}, one{Number::integer, 1, 0};
    switch (row.family) {
        case plain:
        case numeric:
            if (!settle(dtype, row, widen) || (row.family == numeric && dtype == DType::b1)) return false;
            result = inputs.size() == 1 ? emit(row.code, dtype, {read(0, dtype)})
                                        : emit(row.code, dtype, {read(0, dtype), read(1, dtype)});
            return finish();
        case floating:
            result = inputs.size() == 1 ? emit(row.code, target, {read(0, target)})
                                        : emit(row.code, target, {read(0, target), read(1, target)});
            return finish();
        case raised: {
            const Operand& exponent = inputs[1];
            bool whole = exponent.kind == Operand::number && exponent.number_.kind == Number::integer;
            // Integers to negative powers raise, so the exponent has to be known.
            if (!is_float(dtype) && (!whole || exponent.number_.i < 0)) return false;
            if (!settle(dtype, row, widen) || dtype == DType::b1) return false;
            // As in Python: small powers of arrays are products.
            const bool real = exponent.kind == Operand::number && exponent.number_.kind == Number::real;
            const double times = whole ? static_cast<double>(exponent.number_.i) : real ? exponent.number_.r : 0;
            if ((times == 2 || times == 3 || times == 4) && inputs[0].kind != Operand::number) {
                Value x = read(0, dtype);
                result = emit(multiply, dtype, {x, x});
                if (times > 2) result = emit(multiply, dtype, {result, times == 3 ? x : result});
            } else {
                Value x = read(0, dtype), y = read(1, dtype);
                result = emit(power, dtype, {x, y});
            }
            return finish();
        }
        case squared: {
            if (!settle(dtype, row, widen) || dtype == DType::b1) return false;
            Value x = read(0, dtype);
            result = emit(multiply, dtype, {x, x});
            return finish();
        }
        case rectified: {
            if (!settle(dtype, row, widen) || dtype == DType::b1) return false;
            Value x = read(0, dtype);
            result = emit(maximum, dtype, {x, number(zero, dtype)});
            return finish();
        }
        case clipped: {
            if (!settle(dtype, row, widen)) return false;
            Value x = read(0, dtype), low = read(1, dtype), high = read(2, dtype);
            Value above = emit(maximum, dtype, {x, low});
            result = emit(minimum, dtype, {above, high});
            return finish();
        }
        case chosen: {
            if (!settle(dtype, row, widen)) return false;
            Value condition = read(0, DType::b1), x = read(1, dtype), y = read(2, dtype);
            result = emit(where, dtype, {condition, x, y});
            return finish();
        }
        case compared: {
            bool with_sign = false, without = false;
            for (const Operand& each : inputs) {
                if (each.kind != Operand::tensor) continue;
                with_sign = with_sign || kind_of(each.type.dtype) == 'i';
                without = without || kind_of(each.type.dtype) == 'u';
            }
            // NumPy compares integers with and without a sign exactly.
            if (with_sign && without && (!widen || is_float(dtype))) return false;
            if (!settle(dtype, row, widen)) return false;
            Value x = read(0, dtype), y = read(1, dtype);
            if (op[0] == 'g') std::swap(x, y);
            result = emit(row.code, dtype, DType::b1, {x, y});
            return finish();
        }
        case logic:
            if (inputs.size() == 1) {
                result = emit(row.code, DType::b1, {read(0, DType::b1)});
            } else {
                Value x = read(0, DType::b1), y = read(1, DType::b1);
                result = emit(row.code, DType::b1, {x, y});
            }
            return finish();
        case odd:
            if (inputs[0].kind != Operand::tensor) return false;
            if (is_float(values[0].dtype)) {
                result = emit(row.code, values[0].dtype, DType::b1, {values[0]});
            } else {  // no integer is odd
                if (!widen) return false;
                Value x = read(0, DType::i64);
                result = emit(row.code == isnan ? not_equal : equal, DType::i64, DType::b1, {x, x});
            }
            return finish();
        case converted:
        case assigned: {
            size_t last = inputs.size() - 1;
            const Operand& x = inputs[last];
            if (row.family == assigned && x.kind == Operand::number && x.number_.kind == Number::integer &&
                !holds(target, x.number_.i))
                return false;
            Value from = x.kind == Operand::number ? number(x.number_, target) : values[last];
            result = emit(cast, target, {from});
            return finish();
        }
        case updated: {
            if (!settle(dtype, row, widen) || (row.code == subtract && dtype == DType::b1)) return false;
            Value x = read(0, dtype), y = read(1, dtype);
            result = emit(row.code, dtype, {x, y});
            return finish();
        }
        case filled:
            result = emit(cast, target, {number(op == "ones_like" ? one : zero, target)});
            return finish();
        case sigmoid_loss: {
            // log1p(exp(-|x|)) + (max(x, 0) - t x): so nothing is lost where a prediction is confident and right.
            Value t = read(0, target), x = read(1, target);
            Value size = emit(absolute, target, {x}), other = emit(exp, target, {emit(negative, target, {size})});
            Value above = emit(maximum, target, {x, number(zero, target)});
            Value rest = emit(subtract, target, {above, emit(multiply, target, {t, x})});
            result = emit(Code::add, target, {emit(log1p, target, {other}), rest});
            return finish();
        }
        case reduction:
        case summed_back: {
            if (inputs[0].kind != Operand::tensor || !computed(target)) return false;
            const Type& x = inputs[0].type;
            int64_t mask = 0;
            if (row.family == reduction) {
                Call call{inputs, piece.attrs};
                for (int axis : call.axes("axis", x.rank())) mask |= int64_t{1} << axis;
            } else {
                if (!is_float(target)) return false;
                size_t extra = x.shape.size() - output.shape.size();
                for (size_t i = 0; i < x.shape.size(); i++)
                    if (i < extra || (x.shape[i] != 1 && output.shape[i - extra] == 1)) mask |= int64_t{1} << i;
                if (!mask) {
                    result = emit(cast, target, {values[0]});
                    return finish();
                }
            }
            Value from = read(0, target);
            result = emit(row.code, target, {from, {-1, mask, target}});
            return true;
        }
    }
    return false;
}

}  // namespace fb::graph
