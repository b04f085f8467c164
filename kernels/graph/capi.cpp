// The C functions of flowbook.h: statuses, versions, arrays. No exception gets out of any of them.
#include "graph/capi.h"

#include "runtime/library.h"

namespace fb::capi {

namespace {

std::string& message() {
    static thread_local std::string text;
    return text;
}

}  // namespace

fb_status fail(fb_status status, const char* text) noexcept {
    try {
        message() = text;
    } catch (...) {
    }
    return status;
}

std::string name_from(const char* name) {
    std::string text = name ? name : "";
    parse_json(quoted(text));  // raises for what is not UTF-8
    return text;
}

DType dtype_from(fb_dtype dtype) {
    if (dtype < 0 || dtype >= dtype_count) bad_argument("there is no dtype " + std::to_string(dtype));
    return static_cast<DType>(dtype);
}

Shape shape_from(int32_t rank, const int64_t* shape, bool known) {
    if (rank < 0 || rank > max_rank) bad_argument("the rank is " + std::to_string(rank) + "; it has to be from 0 to 8");
    if (rank) need(shape, "shape");
    Shape found(shape, shape + (rank ? rank : 0));
    for (Dim dim : found)
        if (dim < (known ? 0 : -1)) bad_argument("a size is " + std::to_string(dim));
    try {
        check_shape(found);
    } catch (const GraphError& error) {
        bad_argument(error.what());
    }
    return found;
}

std::shared_ptr<Array> array_from(fb_dtype dtype, int32_t rank, const int64_t* shape, const void* data) {
    auto made = std::make_shared<Array>(make_spec(dtype_from(dtype), shape_from(rank, shape, true)));
    size_t bytes = static_cast<size_t>(made->spec.bytes());
    if (bytes) {
        need(data, "data");
        std::memcpy(made->data, data, bytes);
    }
    if (made->spec.dtype == DType::b1)
        for (size_t k = 0; k < bytes; k++) {
            auto& flag = static_cast<uint8_t*>(made->data)[k];
            flag = flag != 0;
        }
    return made;
}


Ref ref_from(const Graph& graph, fb_tensor tensor, bool node) {
    int64_t number = tensor >> 16, index = tensor & 0xffff;
    if (tensor < 0 || number >= static_cast<int64_t>(graph.nodes.size()))
        bad_argument("there is no tensor " + std::to_string(tensor));
    int64_t outputs = static_cast<int64_t>(graph.nodes[number].types.size());
    if (index >= outputs && !(node && index == 0))
        bad_argument(graph.label(static_cast<int32_t>(number)) + " has no output " + std::to_string(index));
    return {static_cast<int32_t>(number), static_cast<int32_t>(index)};
}

}  // namespace fb::capi

using namespace fb::capi;

extern "C" {

uint32_t fb_version(void) { return FB_VERSION; }

const char* fb_last_error(void) {
    try {
        return message().c_str();
    } catch (...) {
        return "";
    }
}

const char* fb_cpu(void) {
    try {
        return fb::Library::get().variant().c_str();
    } catch (...) {
        return "none";
    }
}

// ------------------------------------------------------------------------------------------------ arrays

fb_status fb_array_info(fb_array* array, fb_dtype* dtype, int32_t* rank, const int64_t** shape, void** data,
                        size_t* bytes) {
    return guarded([&] {
        Array& a = *handle(array, "array").array;
        if (dtype) *dtype = static_cast<fb_dtype>(a.spec.dtype);
        if (rank) *rank = a.spec.rank;
        if (shape) *shape = a.spec.shape;
        if (data) *data = a.data;
        if (bytes) *bytes = static_cast<size_t>(a.spec.bytes());
    });
}

void fb_array_free(fb_array* array) { release(array); }

}  // extern "C"
