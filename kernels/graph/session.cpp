#include "graph/session.h"

#include "runtime/executor.h"

#include <algorithm>
#include <set>

namespace fb::graph {

namespace {

constexpr size_t most_plans = 64;
constexpr int most_depth = 100;  // of variables that start from one another

Type type_of(const Spec& spec) { return {spec.dtype, Shape(spec.shape, spec.shape + spec.rank), true}; }

std::shared_ptr<Array> copy_of(const Spec& spec, const void* data) {
    auto made = std::make_shared<Array>(spec);
    if (size_t bytes = static_cast<size_t>(spec.bytes())) std::memcpy(made->data, data, bytes);
    return made;
}

// Feeds have to fit what they are fed to, and equal names of dimensions are equal sizes.
void check_feeds(const Graph& graph, const std::vector<Feed>& feeds) {
    std::map<Dim, int64_t> sizes;
    std::set<Ref> seen;
    for (const Feed& feed : feeds) {
        const Node& node = graph.nodes[feed.ref.node];
        if (feed.ref.index >= static_cast<int32_t>(node.types.size()))
            bad_argument(graph.label(feed.ref.node) + " has no output to feed");
        if (!seen.insert(feed.ref).second) bad_argument(graph.label(feed.ref.node) + " is fed twice");
        const Type& type = graph.type(feed.ref);
        Type given = type_of(feed.spec);
        bool fits = !type.ranked || type.shape.size() == given.shape.size();
        for (size_t i = 0; fits && type.ranked && i < given.shape.size(); i++)
            fits = type.shape[i] < 0 || type.shape[i] == given.shape[i];
        if (!fits || given.dtype != type.dtype)
            bad_argument("the feed of " + graph.label(feed.ref.node) + " is " + text_of(given) + ", it has to be " +
                         text_of(type));
        for (size_t i = 0; type.ranked && i < given.shape.size(); i++) {
            if (type.shape[i] >= open) continue;
            auto known = sizes.emplace(type.shape[i], given.shape[i]).first;
            if (known->second != given.shape[i])
                bad_argument("a named dimension is " + std::to_string(given.shape[i]) + " in the feed of " +
                             graph.label(feed.ref.node) + " and " + std::to_string(known->second) + " in another one");
        }
    }
}

}  // namespace

Session::Session(std::shared_ptr<const Graph> graph, int threads)
    : graph(std::move(graph)), threads(threads ? threads : Pool::cpus()) {}

std::shared_ptr<const Recipe> Session::recipe(const std::vector<Ref>& fetches, const std::vector<Feed>& feeds) {
    std::vector<int64_t> key;
    for (Ref each : fetches) key.push_back(int64_t{each.node} << 16 | each.index);
    for (const Feed& feed : feeds) {
        key.push_back(-1 - feed.spec.rank);
        key.push_back(int64_t{feed.ref.node} << 16 | feed.ref.index);
        key.insert(key.end(), feed.spec.shape, feed.spec.shape + feed.spec.rank);
    }
    {
        std::lock_guard hold(plans_lock);
        if (auto found = plans.find(key); found != plans.end()) return found->second;
    }
    std::vector<std::pair<Ref, Type>> types;
    for (const Feed& feed : feeds) types.emplace_back(feed.ref, type_of(feed.spec));
    std::shared_ptr<const Recipe> made;
    {
        std::shared_lock hold(graph->mutex);
        for (Ref each : fetches)
            if (each.index > 0 && each.index >= static_cast<int32_t>(graph->nodes[each.node].types.size()))
                bad_argument(graph->label(each.node) + " has no such output");
        check_feeds(*graph, feeds);
        made = lower(*graph, fetches, types);
    }
    std::lock_guard hold(plans_lock);
    if (plans.size() >= most_plans) plans.clear();
    plans[key] = made;
    return made;
}

// Runs the bodies that a plan chooses between.
class Session::BodyHost final : public Host {
  public:
    BodyHost(Session& session, const Recipe& recipe, const Graph& graph, const Path& around, Run& run)
        : session(session), recipe(recipe), graph(graph), around(around), run(run) {}

    void perform(int32_t step, void** pointers) override {
        const Choice& choice = recipe.choices.at(step);
        int32_t node = choice.node;
        int side = *static_cast<const uint8_t*>(pointers[choice.predicate]) ? 0 : 1;
        std::vector<const void*> feeds;
        for (int32_t slot : choice.inputs[side]) feeds.push_back(pointers[slot]);
        std::shared_ptr<const Graph> body;
        Path path;
        {
            std::shared_lock hold(session.graph->mutex);
            body = graph.nodes[node].branches->body[side];
            while (graph.nodes[node].branches->recompute && graph.nodes[node].forward >= 0 &&
                   graph.nodes[graph.nodes[node].forward].branches)
                node = graph.nodes[node].forward;
            path = path_of(graph, node, around);
        }
        Ended inner(*choice.recipe[side]);
        session.perform(inner, *body, feeds, path, run);
        size_t output = 0;
        for (int32_t each : inner.recipe.fetches)
            if (each >= 0) pointers[choice.outputs.at(output++)] = inner.results.at(static_cast<size_t>(each))->data;
        held.insert(held.end(), inner.results.begin(), inner.results.end());
    }

    std::vector<SharedArray> held;  // what the bodies gave

  private:
    Session& session;
    const Recipe& recipe;
    const Graph& graph;
    const Path& around;
    Run& run;
};

void Session::execute(Ended& ended, const std::vector<Feed>& feeds, Run& run) {
    std::vector<SharedArray>& held = ended.held;
    std::vector<const void*> given;
    for (const Feed& feed : feeds) {
        auto address = reinterpret_cast<uintptr_t>(feed.data);
        if (feed.spec.dtype == DType::b1) {  // kernels count on 0 and 1
            auto flags = copy_of(feed.spec, feed.data);
            auto bytes = static_cast<uint8_t*>(flags->data);
            for (int64_t i = 0; i < feed.spec.size(); i++) bytes[i] = bytes[i] != 0;
            held.push_back(flags);
            given.push_back(flags->data);
        } else if (feed.spec.size() == 0 || address % static_cast<uintptr_t>(size_of(feed.spec.dtype))) {
            held.push_back(copy_of(feed.spec, feed.data));
            given.push_back(held.back()->data);
        } else {
            given.push_back(feed.data);
        }
    }
    perform(ended, *graph, given, {}, run);
}

void Session::perform(Ended& ended, const Graph& of, const std::vector<const void*>& feeds, const Path& around,
                      Run& run) {
    const Recipe& recipe = ended.recipe;
    const Plan& plan = *recipe.plan;
    std::vector<void*>& pointers = ended.pointers;
    for (auto& each : recipe.constants) pointers[each.first] = const_cast<void*>(each.second->data);
    for (size_t k = 0; k < feeds.size(); k++) pointers[recipe.feeds[k]] = const_cast<void*>(feeds[k]);
    std::vector<int32_t> wanted;
    for (auto& each : recipe.states) wanted.push_back(each.second);
    ended.states = store.get(wanted);
    for (size_t k = 0; k < wanted.size(); k++) {
        SharedArray& value = ended.states[k];
        if (!value) value = run.initial[wanted[k]] = initial_value(wanted[k], run.depth + 1);
        pointers[recipe.states[k].first] = const_cast<void*>(value->data);
    }
    for (const Draw& each : recipe.draws) {
        std::shared_lock hold(graph->mutex);
        ended.held.push_back(draw(of, each.node, plan.slots[each.slot].spec, run.number, around));
        pointers[each.slot] = const_cast<void*>(ended.held.back()->data);
    }
    for (int32_t slot : plan.results) {
        ended.results.push_back(std::make_shared<Array>(plan.slots[slot].spec));
        pointers[slot] = ended.results.back()->data;
    }
    BodyHost host(*this, recipe, of, around, run);
    RunOptions options;
    options.threads = threads;
    options.host = recipe.choices.empty() ? nullptr : &host;
    ended.arena.emplace(plan.arena_bytes);
    try {
        fb::execute(plan, pointers.data(), options, *ended.arena);
    } catch (const StepError& error) {
        int32_t node = recipe.nodes.at(static_cast<size_t>(error.step));
        std::shared_lock hold(graph->mutex);
        throw Error((node < 0 ? std::string("a copy") : of.label(node)) + ": " + error.what());
    }
    ended.held.insert(ended.held.end(), host.held.begin(), host.held.end());
}

std::vector<std::shared_ptr<Array>> Session::run(const std::vector<Ref>& fetches, const std::vector<Feed>& feeds) {
    std::shared_ptr<const Recipe> what = recipe(fetches, feeds);
    std::unique_lock<std::mutex> exclusive(writing, std::defer_lock);
    if (!what->writes.empty() || !what->updates.empty()) exclusive.lock();
    Run run{++runs, {}, 0};
    Ended ended(*what);
    execute(ended, feeds, run);
    Values writes;
    std::vector<std::shared_ptr<Array>> fetched, &results = ended.results;
    std::vector<bool> taken(results.size());
    for (auto& [variable, result] : what->writes) {
        writes[variable] = taken[result] ? copy_of(results[result]->spec, results[result]->data) : results[result];
        taken[result] = true;
    }
    for (int32_t result : what->fetches) {
        if (result < 0) {
            fetched.push_back(nullptr);
            continue;
        }
        fetched.push_back(taken[result] ? copy_of(results[result]->spec, results[result]->data) : results[result]);
        taken[result] = true;
    }
    RunOptions options;
    options.threads = threads;
    store.commit(std::move(writes), run.initial, &ended, options);
    return fetched;
}

SharedArray Session::initial_value(int32_t variable, int depth) {
    if (depth > most_depth) bad_graph("too many variables start from one another");
    Input source;
    {
        std::shared_lock hold(graph->mutex);
        const Node& node = graph->nodes[variable];
        if (auto found = graph->initial.find(node.name); found != graph->initial.end()) return found->second;
        if (node.value) return node.value;
        if (!node.unsupported.empty()) unsupported(graph->label(variable) + ": " + node.unsupported);
        source = node.inputs.at(0);
    }
    // With run number 0: a first value depends on the seed and the name only.
    std::shared_ptr<const Recipe> what = recipe({{source.node, source.index}}, {});
    Run run{0, {}, depth};
    Ended ended(*what);
    execute(ended, {}, run);
    auto& made = ended.results.at(static_cast<size_t>(what->fetches.at(0)));
    std::shared_lock hold(graph->mutex);
    const Type& type = graph->nodes[variable].types[0];
    if (made->spec.dtype != type.dtype || type_of(made->spec).shape != type.shape)
        bad_graph("the initial value of " + graph->label(variable) + " is " + text_of(type_of(made->spec)));
    return made;
}

SharedArray Session::get(int32_t variable) {
    return snapshot({variable})[0];
}

void Session::set(int32_t variable, const Spec& spec, const void* data) {
    SharedArray made = copy_of(spec, data);
    {
        std::shared_lock hold(graph->mutex);
        const Type& type = graph->nodes[variable].types[0];
        if (spec.dtype != type.dtype || type_of(spec).shape != type.shape)
            bad_argument(graph->label(variable) + " is " + text_of(type) + ", the value is " + text_of(type_of(spec)));
    }
    if (spec.dtype == DType::b1)
        for (int64_t i = 0; i < spec.size(); i++) {
            auto& flag = static_cast<uint8_t*>(const_cast<void*>(made->data))[i];
            flag = flag != 0;
        }
    std::lock_guard exclusive(writing);
    store.commit({{variable, made}}, {});
}

std::vector<int32_t> Session::variables() const {
    std::shared_lock hold(graph->mutex);
    std::vector<int32_t> found;
    for (size_t k = 0; k < graph->nodes.size(); k++)
        if (graph->nodes[k].variable()) found.push_back(static_cast<int32_t>(k));
    std::sort(found.begin(), found.end(), [&](int32_t a, int32_t b) { return graph->order[a] < graph->order[b]; });
    return found;
}

std::vector<SharedArray> Session::snapshot(const std::vector<int32_t>& wanted) {
    std::vector<SharedArray> found = store.get(wanted);
    Values initial;
    for (size_t k = 0; k < wanted.size(); k++)
        if (!found[k]) initial[wanted[k]] = initial_value(wanted[k], 0);
    if (initial.empty()) return found;
    store.commit({}, initial);
    return store.get(wanted);
}

void Session::save(const std::string& path) {
    std::vector<int32_t> all = variables();
    std::vector<SharedArray> now = snapshot(all);
    Arrays arrays;
    {
        std::shared_lock hold(graph->mutex);
        for (size_t k = 0; k < all.size(); k++) arrays.emplace_back(graph->nodes[all[k]].name, now[k]);
    }
    write_container(path, "checkpoint", "{}", arrays);
}

void Session::save_graph(const std::string& path) {
    std::vector<int32_t> all = variables();
    std::vector<SharedArray> now = snapshot(all);
    Values by_node;
    for (size_t k = 0; k < all.size(); k++) by_node[all[k]] = now[k];
    std::shared_lock hold(graph->mutex);
    graph::save_graph(*graph, &by_node, path);
}

void Session::restore(const std::string& path, bool strict) {
    Container file = read_container(path, "checkpoint");
    Values writes;
    size_t used = 0;
    for (int32_t each : variables()) {
        std::shared_lock hold(graph->mutex);
        const Node& node = graph->nodes[each];
        auto found = file.arrays.find(node.name);
        if (found == file.arrays.end()) {
            if (strict) throw GraphError(Trouble::file, path + " does not have the variable " + shown(node.name));
            continue;
        }
        used++;
        Type type = type_of(found->second->spec);
        if (type.dtype != node.types[0].dtype || type.shape != node.types[0].shape)
            throw GraphError(Trouble::file, path + ": " + shown(node.name) + " is " + text_of(type) +
                             " in the file and " +
                                                text_of(node.types[0]) + " in the graph");
        writes[each] = found->second;
    }
    if (strict && used != file.arrays.size())
        throw GraphError(Trouble::file, path + " has variables that the graph lacks");
    std::lock_guard exclusive(writing);
    store.commit(std::move(writes), {});
}

}  // namespace fb::graph
