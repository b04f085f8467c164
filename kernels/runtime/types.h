// What everybody in the native library speaks of: dtypes, specs of arrays, attributes, errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// Error types cross the borders of shared libraries, so their type has to be one everywhere.
#define FB_VISIBLE __attribute__((visibility("default")))

namespace fb {

enum class DType : uint8_t { b1, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64 };
constexpr int dtype_count = 11;

constexpr int64_t size_of(DType t) {
    constexpr int64_t sizes[dtype_count] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
    return sizes[static_cast<int>(t)];
}

constexpr bool is_float(DType t) { return t == DType::f32 || t == DType::f64; }

// The DType of a C++ type: DTypeOf<float>::value.
template <class T> struct DTypeOf;
template <> struct DTypeOf<bool> { static constexpr DType value = DType::b1; };
template <> struct DTypeOf<int8_t> { static constexpr DType value = DType::i8; };
template <> struct DTypeOf<int16_t> { static constexpr DType value = DType::i16; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<uint16_t> { static constexpr DType value = DType::u16; };
template <> struct DTypeOf<uint32_t> { static constexpr DType value = DType::u32; };
template <> struct DTypeOf<uint64_t> { static constexpr DType value = DType::u64; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };

// Whatever goes wrong in a kernel or in the runtime; the text is for a person. What to do about it may follow on a
// second line.
class FB_VISIBLE Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~Error() override = default;
};

// Values whose shape or range does not fit.
class FB_VISIBLE ShapeError : public Error {
  public:
    using Error::Error;
    ~ShapeError() override = default;
};

// Somebody asked the run to end.
class FB_VISIBLE Cancelled : public Error {
  public:
    Cancelled() : Error("cancelled") {}
    ~Cancelled() override = default;
};

constexpr int max_rank = 8;

// How the elements of an array lie in memory. Strides count elements, may be 0 (broadcast) or negative.
struct Spec {
    DType dtype = DType::f32;
    int rank = 0;
    int64_t shape[max_rank] = {};
    int64_t stride[max_rank] = {};

    int64_t size() const {
        int64_t n = 1;
        for (int i = 0; i < rank; i++) n *= shape[i];
        return n;
    }
    int64_t bytes() const { return size() * size_of(dtype); }

    // Row-major without gaps. An array without elements, and axes of size 1, fit always.
    bool contiguous() const {
        int64_t expected = 1;
        for (int i = rank - 1; i >= 0; i--) {
            if (shape[i] == 0) return true;
            if (shape[i] != 1 && stride[i] != expected) return false;
            expected *= shape[i];
        }
        return true;
    }
    void set_contiguous() {
        int64_t step = 1;
        for (int i = rank - 1; i >= 0; i--) {
            stride[i] = step;
            step *= shape[i];
        }
    }
    bool same_shape(const Spec& other) const {
        if (rank != other.rank) return false;
        for (int i = 0; i < rank; i++)
            if (shape[i] != other.shape[i]) return false;
        return true;
    }
};

inline bool same_layout(const Spec& a, const Spec& b) {
    if (a.dtype != b.dtype || !a.same_shape(b)) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.stride[i] != b.stride[i]) return false;
    return true;
}

inline Spec make_spec(DType dtype, const std::vector<int64_t>& shape) {
    if (shape.size() > max_rank) throw Error("an array of more than 8 axes");
    Spec s;
    s.dtype = dtype;
    s.rank = static_cast<int>(shape.size());
    for (int i = 0; i < s.rank; i++) s.shape[i] = shape[i];
    s.set_contiguous();
    return s;
}

// One attribute: a plain value. A bool is an integer; a tuple of ints `integers`; None is `none`; a tuple of anything
// else, such as of tuples, a `list`.
struct Attr {
    enum Kind : uint8_t { none, integer, real, text, integers, reals, list } kind = none;
    std::vector<int64_t> i;
    std::vector<double> r;
    std::string s;
    std::vector<Attr> items;
};

// The attributes of a call, by name. A missing one, or one of another kind, is an error of the caller.
class Attrs {
  public:
    std::map<std::string, Attr> all;

    const Attr* find(const std::string& name) const {
        auto it = all.find(name);
        return it == all.end() || it->second.kind == Attr::none ? nullptr : &it->second;
    }
    int64_t integer(const std::string& name) const { return get(name, Attr::integer).i[0]; }
    int64_t integer(const std::string& name, int64_t missing) const { return find(name) ? integer(name) : missing; }
    double real(const std::string& name) const {
        const Attr* a = find(name);
        if (a && a->kind == Attr::integer) return static_cast<double>(a->i[0]);
        return get(name, Attr::real).r[0];
    }
    const std::string& text(const std::string& name) const { return get(name, Attr::text).s; }
    // A tuple of ints, or one int alone.
    std::vector<int64_t> integers(const std::string& name) const {
        const Attr* a = find(name);
        if (a && (a->kind == Attr::integer || a->kind == Attr::integers)) return a->i;
        if (a && a->kind == Attr::reals && a->r.empty()) return {};
        throw Error("attribute '" + name + "' is missing, or no tuple of ints");
    }
    std::vector<double> reals(const std::string& name) const {
        const Attr* a = find(name);
        if (a && a->kind == Attr::reals) return a->r;
        if (a && (a->kind == Attr::integers || a->kind == Attr::integer)) return {a->i.begin(), a->i.end()};
        throw Error("attribute '" + name + "' is missing, or no tuple of numbers");
    }

  private:
    const Attr& get(const std::string& name, Attr::Kind kind) const {
        const Attr* a = find(name);
        if (!a || a->kind != kind) throw Error("attribute '" + name + "' is missing, or of another kind");
        return *a;
    }
};

}  // namespace fb
