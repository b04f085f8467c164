// What the files of C functions share: handles, checks of arguments, and the way from exceptions to statuses.
#pragma once

#include "flowbook.h"

#include "graph/session.h"

#include <new>

// What a handle is shows in its first word, so that one of another kind is refused.
struct fb_graph {
    static constexpr uint32_t kind = 0xfb010001;
    uint32_t tag = kind;
    std::shared_ptr<fb::graph::Graph> graph;
};
struct fb_session {
    static constexpr uint32_t kind = 0xfb010002;
    uint32_t tag = kind;
    std::shared_ptr<fb::graph::Graph> graph;
    std::unique_ptr<fb::graph::Session> session;
};
struct fb_array {
    static constexpr uint32_t kind = 0xfb010003;
    uint32_t tag = kind;
    std::shared_ptr<fb::graph::Array> array;
};

static_assert(FB_FLOAT64 == static_cast<int>(fb::DType::f64) && FB_UINT8 == static_cast<int>(fb::DType::u8));

namespace fb::capi {

using namespace fb::graph;

// Keeps a text for fb_last_error.
fb_status fail(fb_status status, const char* text) noexcept;

template <class F> fb_status guarded(F&& f) noexcept {
    try {
        f();
        return FB_OK;
    } catch (const GraphError& error) {
        switch (error.trouble) {
            case Trouble::argument: return fail(FB_BAD_ARGUMENT, error.what());
            case Trouble::file: return fail(FB_BAD_FILE, error.what());
            case Trouble::graph: return fail(FB_BAD_GRAPH, error.what());
            case Trouble::unsupported: return fail(FB_UNSUPPORTED, error.what());
        }
        return fail(FB_INTERNAL, error.what());
    } catch (const Error& error) {
        return fail(FB_RUN_FAILED, error.what());
    } catch (const std::bad_alloc&) {
        return fail(FB_NO_MEMORY, "there is not enough memory");
    } catch (const std::length_error&) {
        return fail(FB_NO_MEMORY, "there is not enough memory");
    } catch (const std::exception& error) {
        return fail(FB_INTERNAL, error.what());
    } catch (...) {
        return fail(FB_INTERNAL, "something went wrong");
    }
}

template <class T> void need(const T* pointer, const char* name) {
    if (!pointer) bad_argument(std::string(name) + " is NULL");
}
template <class T> T& handle(T* pointer, const char* name) {
    need(pointer, name);
    if (reinterpret_cast<uintptr_t>(pointer) % alignof(T) || pointer->tag != T::kind)
        bad_argument(std::string(name) + " is no such handle, or was freed");
    return *pointer;
}
template <class T> void release(T* pointer) noexcept {
    if (!pointer || pointer->tag != T::kind) return;
    pointer->tag = 0;
    delete pointer;
}

inline void need_count(int64_t count, const void* pointer, const char* name) {
    if (count < 0 || count > (1 << 20))
        bad_argument(std::string("the number of ") + name + " is " + std::to_string(count));
    if (count && !pointer) bad_argument(std::string(name) + " is NULL");
}

std::string name_from(const char* name);
DType dtype_from(fb_dtype dtype);
Shape shape_from(int32_t rank, const int64_t* shape, bool known);
std::shared_ptr<Array> array_from(fb_dtype dtype, int32_t rank, const int64_t* shape, const void* data);
inline fb_tensor tensor_of(int64_t node) { return node << 16; }
// The output that a tensor is. `node`: it may be a node without outputs.
Ref ref_from(const Graph& graph, fb_tensor tensor, bool node = true);

}  // namespace fb::capi
