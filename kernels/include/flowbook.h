/* flowbook for C, and for every language that can call C: build dataflow graphs or load those that Python saved, and
   run them. libflowbook.so has these functions; it needs nothing but the libraries of kernels beside it.

     #include "flowbook.h"
     #include <stdio.h>

     int main(void) {
         fb_graph* graph;
         fb_session* session;
         fb_tensor x, y;
         fb_array* results[1];
         float data[6] = {1, 2, 3, 4, 5, 6}, *values;
         int64_t shape[2] = {2, 3};
         if (fb_graph_load("model.flow", &graph) || fb_graph_find(graph, NULL, "x", &x) ||
             fb_graph_find(graph, NULL, "y", &y) || fb_session_new(graph, 0, &session))
             return printf("%s\n", fb_last_error()), 1;
         fb_feed feed = {x, FB_FLOAT32, 2, shape, data};
         if (fb_session_run(session, &y, 1, &feed, 1, results)) return printf("%s\n", fb_last_error()), 1;
         fb_array_info(results[0], NULL, NULL, NULL, (void**)&values, NULL);
         printf("%g\n", values[0]);
         fb_array_free(results[0]);
         fb_session_free(session);
         fb_graph_free(graph);
         return 0;
     }

   Statuses. Every function but those that free or describe gives an fb_status, FB_OK (0) when all went well. Otherwise
   nothing has changed, no output argument has been written, and fb_last_error() says what is wrong, for a person.

   Arrays are row-major without gaps, of at most 8 axes. A shape is `rank` sizes; of a tensor in a graph a size that is
   not known before a run is -1. A bool is one byte, 0 or 1.

   Ownership. What the caller passes (names, shapes, data) is copied, or read before the function returns. What a
   function makes through a pointer to a pointer is the caller's, who frees it once; freeing NULL does nothing. A
   session keeps its graph alive. Texts that functions give belong to flowbook, and stay until the thread's next call.

   Threads. Any number of threads may use a graph, and a session, at once. Runs that write variables exclude one
   another; others go on beside them. A handle must not be freed while somebody uses it. */
#ifndef FLOWBOOK_H
#define FLOWBOOK_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FB_API __attribute__((visibility("default")))
#else
#define FB_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header: major * 10000 + minor * 100 + patch. Libraries of one major version fit one another when
   the library is not older than the header. */
#define FB_VERSION 100

typedef int32_t fb_status;
enum {
    FB_OK = 0,
    FB_BAD_ARGUMENT = 1, /* a NULL, a name that is not there, a feed that does not fit */
    FB_BAD_FILE = 2,     /* missing, damaged, or not of the kind that was asked for */
    FB_BAD_GRAPH = 3,    /* shapes, dtypes or attributes that an op does not take */
    FB_RUN_FAILED = 4,   /* a kernel refused its input, such as an index out of range */
    FB_NO_MEMORY = 5,
    FB_UNSUPPORTED = 6,  /* what only Python can do: functions of the host, float16 */
    FB_INTERNAL = 7
};

typedef int32_t fb_dtype;
enum {
    FB_BOOL = 0,
    FB_INT8 = 1,
    FB_INT16 = 2,
    FB_INT32 = 3,
    FB_INT64 = 4,
    FB_UINT8 = 5,
    FB_UINT16 = 6,
    FB_UINT32 = 7,
    FB_UINT64 = 8,
    FB_FLOAT32 = 9,
    FB_FLOAT64 = 10
};

typedef struct fb_graph fb_graph;
typedef struct fb_session fb_session;
typedef struct fb_array fb_array; /* an array with memory of its own */

/* A tensor of a graph: an output of a node, or, for a node without outputs, the node itself. The outputs of one node
   are consecutive numbers. Below -1 it is a number (see fb_graph_real). */
typedef int64_t fb_tensor;
#define FB_NONE ((fb_tensor) - 1) /* an input that is left out */

/* The version of the library, as FB_VERSION is that of the header. */
FB_API uint32_t fb_version(void);
/* What the thread's last failed call had to say; never NULL. */
FB_API const char* fb_last_error(void);
/* The kernels that this machine runs: "v4", "v3", "base", or "none" when they are not found beside the library. */
FB_API const char* fb_cpu(void);

/* ------------------------------------------------------------------------------------------------ graphs */

FB_API fb_status fb_graph_new(fb_graph** graph);
/* A graph that flowbook.save_graph wrote, with its gradients and optimizers, and the variables' values if they were
   saved too. Reading one runs no code. What needs Python is an error only for a run that needs it. */
FB_API fb_status fb_graph_load(const char* path, fb_graph** graph);
FB_API fb_status fb_graph_load_bytes(const void* data, size_t bytes, fb_graph** graph);
/* Writes a file that fb_graph_load and flowbook.load_graph read, all or nothing. A graph with nodes that need Python,
   or of several cells, is FB_UNSUPPORTED. */
FB_API fb_status fb_graph_save(fb_graph* graph, const char* path);
FB_API void fb_graph_free(fb_graph* graph);

/* Names: NULL or "" lets flowbook make one up. A name is there once. */

/* A tensor that is fed. `dim_names`: NULL, or for each axis NULL or a name; axes of one name have one size in a run. A
   name stands in the place of the size. */
FB_API fb_status fb_graph_placeholder(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank,
                                      const int64_t* shape, const char* const* dim_names, fb_tensor* tensor);
FB_API fb_status fb_graph_constant(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank,
                                   const int64_t* shape, const void* data, fb_tensor* tensor);
/* A tensor whose value sessions keep from run to run; `data` is the first one. Variables need a name. */
FB_API fb_status fb_graph_variable(fb_graph* graph, const char* name, fb_dtype dtype, int32_t rank,
                                   const int64_t* shape, const void* data, int32_t trainable, fb_tensor* tensor);

/* Numbers as inputs: they have no dtype, but take that of the array they meet. They are numbers of this graph only. */
FB_API fb_status fb_graph_int(fb_graph* graph, int64_t value, fb_tensor* number);
FB_API fb_status fb_graph_real(fb_graph* graph, double value, fb_tensor* number);
FB_API fb_status fb_graph_bool(fb_graph* graph, int32_t value, fb_tensor* number);

/* A node of an op, by its name in flowbook (docs/ops.md): "matmul", "softmax", "assign_add". `attributes`: NULL, or a
   JSON object; tuples are lists, None is null, bools are true and false:
       fb_graph_add(graph, "conv2d", "c1", inputs, 2, "{\"strides\": [2, 2], \"padding\": \"valid\"}", &first, NULL)
   `first` gets the first output, `outputs` (may be NULL) how many there are. */
FB_API fb_status fb_graph_add(fb_graph* graph, const char* op, const char* name, const fb_tensor* inputs,
                              int32_t count, const char* attributes, fb_tensor* first, int32_t* outputs);
/* A node without outputs that is done when all of `nodes` are: fetch it to run them. */
FB_API fb_status fb_graph_group(fb_graph* graph, const char* name, const fb_tensor* nodes, int32_t count,
                                fb_tensor* node);

/* The tensor called "name", or "name:1" for an output that is not the first. `cell`: the notebook cell that it is of;
   NULL for any, "" for none. */
FB_API fb_status fb_graph_find(fb_graph* graph, const char* cell, const char* name, fb_tensor* tensor);
/* How many nodes there are, and the first output of the one at a place in program order. */
FB_API fb_status fb_graph_size(fb_graph* graph, int64_t* nodes);
FB_API fb_status fb_graph_at(fb_graph* graph, int64_t place, fb_tensor* tensor);
/* Placeholders and variables, in program order. Writes at most `capacity` of them, and how many there are to
   `count`. */
FB_API fb_status fb_graph_placeholders(fb_graph* graph, fb_tensor* tensors, int64_t capacity, int64_t* count);
FB_API fb_status fb_graph_variables(fb_graph* graph, fb_tensor* tensors, int64_t capacity, int64_t* count);

/* What a tensor is. Any output argument may be NULL. `rank` is -1 where it is not known; `shape` has room for 8
   sizes. */
FB_API fb_status fb_tensor_type(fb_graph* graph, fb_tensor tensor, fb_dtype* dtype, int32_t* rank, int64_t* shape);
FB_API fb_status fb_tensor_node(fb_graph* graph, fb_tensor tensor, const char** name, const char** op,
                                const char** cell, int32_t* outputs);

/* ------------------------------------------------------------------------------------------------ sessions */

/* `threads`: how many may work on a run; 0 for as many as the process may use. */
FB_API fb_status fb_session_new(fb_graph* graph, int32_t threads, fb_session** session);
FB_API void fb_session_free(fb_session* session);

/* The value of a tensor in one run. Any tensor may be fed. The dtype has to be that of the tensor. */
typedef struct fb_feed {
    fb_tensor tensor;
    fb_dtype dtype;
    int32_t rank;
    const int64_t* shape;
    const void* data;
} fb_feed;

/* Computes `fetches`; `results` gets an array for each, NULL for a node without outputs. All or nothing: variables
   change when the whole run has succeeded. Reads and writes of variables have the order in which their nodes were
   made; a variable that is fetched itself has the value from before the run. Plans are kept: a run with shapes that
   were there before starts at once. */
FB_API fb_status fb_session_run(fb_session* session, const fb_tensor* fetches, int32_t fetch_count,
                                const fb_feed* feeds, int32_t feed_count, fb_array** results);

/* The value of a variable; it is initialised on first use. */
FB_API fb_status fb_session_get(fb_session* session, fb_tensor variable, fb_array** value);
FB_API fb_status fb_session_set(fb_session* session, fb_tensor variable, fb_dtype dtype, int32_t rank,
                                const int64_t* shape, const void* data);
/* Checkpoints: the values of all variables, as Session.save and Session.restore of Python have them. A restore
   changes all variables or none. `strict`: the file has to have exactly the variables of the graph. */
FB_API fb_status fb_session_save(fb_session* session, const char* path);
/* The graph with these values, as fb_graph_save writes it. */
FB_API fb_status fb_session_save_graph(fb_session* session, const char* path);
FB_API fb_status fb_session_restore(fb_session* session, const char* path, int32_t strict);

/* ------------------------------------------------------------------------------------------------ arrays */

/* What is in an array. Any output argument may be NULL. `shape` and `data` belong to the array; data may be changed. */
FB_API fb_status fb_array_info(fb_array* array, fb_dtype* dtype, int32_t* rank, const int64_t** shape, void** data,
                               size_t* bytes);
FB_API void fb_array_free(fb_array* array);

#ifdef __cplusplus
}
#endif

/* An operator of your own is a file of its own, written against flowbook_op.h, which says how: a few lines of C++, that
   `fb.native_op` compiles and gives a shape rule and a gradient. */

#endif
