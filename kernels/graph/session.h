// Runs parts of a graph and keeps its variables' values from run to run, as flowbook/runtime/session.py does.
#pragma once

#include "graph/random.h"
#include "graph/store.h"

#include <atomic>

namespace fb::graph {

// Memory of the caller's, row-major.
struct Feed {
    Ref ref;
    Spec spec;
    const void* data;
};

class Session {
  public:
    // `threads`: 0 for as many as the process may use.
    Session(std::shared_ptr<const Graph> graph, int threads);

    // The fetched arrays, nullptr for a node without outputs. All or nothing: variables change when all has succeeded.
    std::vector<std::shared_ptr<Array>> run(const std::vector<Ref>& fetches, const std::vector<Feed>& feeds);

    // The value of a variable, initialised on first use.
    SharedArray get(int32_t variable);
    void set(int32_t variable, const Spec& spec, const void* data);
    void save(const std::string& path);
    // The graph and the variables' values, for Python or another session.
    void save_graph(const std::string& path);
    void restore(const std::string& path, bool strict);

    const std::shared_ptr<const Graph> graph;

  private:
    // One run, the bodies in it included.
    struct Run {
        uint64_t number;
        Values initial;  // what variables started from for the first time
        int depth;       // how many variables are being initialised
    };
    class BodyHost;
    std::shared_ptr<const Recipe> recipe(const std::vector<Ref>& fetches, const std::vector<Feed>& feeds);
    // Run a recipe, but for its updates.
    void execute(Ended& ended, const std::vector<Feed>& feeds, Run& run);
    void perform(Ended& ended, const Graph& of, const std::vector<const void*>& feeds, const Path& around, Run& run);
    SharedArray initial_value(int32_t variable, int depth);
    std::vector<int32_t> variables() const;
    // The values of these, all of one moment.
    std::vector<SharedArray> snapshot(const std::vector<int32_t>& variables);

    int threads;
    Store store;
    std::mutex writing;  // held for the length of a run that writes
    std::mutex plans_lock;
    std::map<std::vector<int64_t>, std::shared_ptr<const Recipe>> plans;
    std::atomic<uint64_t> runs{0};
};

}  // namespace fb::graph
