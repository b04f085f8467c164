// The C functions that run graphs.
#include "graph/capi.h"

using namespace fb;
using namespace fb::capi;

namespace {

int32_t variable_from(const fb_session& s, fb_tensor tensor) {
    std::shared_lock hold(s.graph->mutex);
    Ref ref = ref_from(*s.graph, tensor);
    if (!s.graph->nodes[ref.node].variable()) bad_argument(s.graph->label(ref.node) + " is not a variable");
    return ref.node;
}

}  // namespace

extern "C" {

fb_status fb_session_new(fb_graph* graph, int32_t threads, fb_session** session) {
    return guarded([&] {
        auto& g = handle(graph, "graph").graph;
        need(session, "session");
        if (threads < 0 || threads > 4096) bad_argument("threads is " + std::to_string(threads));
        auto made = std::make_unique<fb_session>();
        made->graph = g;
        made->session = std::make_unique<Session>(g, threads);
        *session = made.release();
    });
}

void fb_session_free(fb_session* session) { release(session); }

fb_status fb_session_run(fb_session* session, const fb_tensor* fetches, int32_t fetch_count, const fb_feed* feeds,
                         int32_t feed_count, fb_array** results) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        need_count(fetch_count, fetches, "fetches");
        need_count(feed_count, feeds, "feeds");
        if (fetch_count) need(results, "results");
        std::vector<Ref> wanted;
        std::vector<Feed> given;
        {
            std::shared_lock hold(s.graph->mutex);
            for (int32_t k = 0; k < fetch_count; k++) wanted.push_back(ref_from(*s.graph, fetches[k]));
            for (int32_t k = 0; k < feed_count; k++) {
                const fb_feed& feed = feeds[k];
                Ref ref = ref_from(*s.graph, feed.tensor, false);
                Spec spec = make_spec(dtype_from(feed.dtype), shape_from(feed.rank, feed.shape, true));
                if (spec.size()) need(feed.data, "the data of a feed");
                given.push_back({ref, spec, feed.data});
            }
        }
        auto found = s.session->run(wanted, given);
        std::vector<std::unique_ptr<fb_array>> made(found.size());
        for (size_t k = 0; k < found.size(); k++) {
            if (!found[k]) continue;
            made[k] = std::make_unique<fb_array>();
            made[k]->array = std::move(found[k]);
        }
        for (size_t k = 0; k < made.size(); k++) results[k] = made[k].release();
    });
}

fb_status fb_session_get(fb_session* session, fb_tensor variable, fb_array** value) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        need(value, "value");
        SharedArray found = s.session->get(variable_from(s, variable));
        auto made = std::make_unique<fb_array>();
        made->array = std::make_shared<Array>(found->spec);
        if (size_t bytes = static_cast<size_t>(found->spec.bytes())) std::memcpy(made->array->data, found->data, bytes);
        *value = made.release();
    });
}

fb_status fb_session_set(fb_session* session, fb_tensor variable, fb_dtype dtype, int32_t rank, const int64_t* shape,
                         const void* data) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        int32_t node = variable_from(s, variable);
        auto value = array_from(dtype, rank, shape, data);
        s.session->set(node, value->spec, value->data);
    });
}

fb_status fb_session_save(fb_session* session, const char* path) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        need(path, "path");
        s.session->save(path);
    });
}

fb_status fb_session_save_graph(fb_session* session, const char* path) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        need(path, "path");
        s.session->save_graph(path);
    });
}

fb_status fb_session_restore(fb_session* session, const char* path, int32_t strict) {
    return guarded([&] {
        fb_session& s = handle(session, "session");
        need(path, "path");
        s.session->restore(path, strict != 0);
    });
}

}  // extern "C"
