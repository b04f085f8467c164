#include "graph/cse.h"
#include "graph/emit.h"
#include "graph/fold.h"
#include "graph/fuse.h"
#include "graph/products.h"
#include "graph/updates.h"

#include <algorithm>

namespace fb::graph {

namespace {

int64_t key(Ref ref) { return int64_t{ref.node} << 16 | ref.index; }

class Lowering : Emitter {
  public:
    Lowering(const Graph& graph, const std::vector<Ref>& fetches, const std::vector<std::pair<Ref, Type>>& feeds)
        : graph(graph), fetches(fetches) {
        for (auto& [ref, type] : feeds) {
            int32_t slot = add_slot(spec_of(type), Slot::foreign);
            values[key(ref)] = slot;
            fed.insert({key(ref), slot});
            recipe->feeds.push_back(slot);
        }
    }

    std::shared_ptr<const Recipe> run() {
        auto inputs = [this](int32_t node, std::vector<int32_t>& found) { before(node, found); };
        for (int32_t node : topological(graph, find_needed(), inputs)) {
            try {
                emit(node);
            } catch (const GraphError& error) {
                throw GraphError(error.trouble, graph.label(node) + ": " + error.what());
            } catch (const Error& error) {
                bad_graph(graph.label(node) + ": " + error.what());
            }
        }
        fold(*this);
        const std::vector<int32_t> same = merge_equal(*this);
        for (Ref each : fetches) {
            bool empty = each.index < 0 || graph.nodes[each.node].types.empty();
            recipe->fetches.push_back(empty ? -1 : result(same[value_of(each, each.node)]));
        }
        for (auto& [variable, versions] : history)
            if (versions.back().writer >= 0 && graph.nodes[variable].variable())
                recipe->writes.emplace_back(variable, result(same[versions.back().slot]));
        add_products(*this);
        pack_operands(*this);
        fuse(*this);
        leave_updates(*this);
        drop_constants();
        check_memory(0);
        recipe->plan = std::make_unique<Plan>(std::move(outline));
        check_memory(recipe->plan->arena_bytes);
        return recipe;
    }

  private:
    struct Version {
        int32_t writer, slot;
    };

    // ---------------------------------------------------------------------------------------- which nodes

    void before(int32_t number, std::vector<int32_t>& found) const {
        const Node& node = graph.nodes[number];
        found.insert(found.end(), node.controls.begin(), node.controls.end());
        if (node.source()) return;
        for (const Input& each : node.inputs)
            if (each.kind == Input::tensor && !fed.count(key({each.node, each.index}))) found.push_back(each.node);
    }

    std::vector<int32_t> find_needed() const {
        std::vector<bool> seen_(graph.nodes.size());
        std::vector<int32_t> stack, found, others;
        auto need = [&](int32_t node) {
            if (!seen_[node]) stack.push_back(node);
            seen_[node] = true;
        };
        for (Ref each : fetches)
            if (!fed.count(key(each))) need(each.node);
        while (!stack.empty()) {
            int32_t node = stack.back();
            stack.pop_back();
            found.push_back(node);
            others.clear();
            before(node, others);
            for (int32_t each : others) need(each);
        }
        return found;
    }

    // ---------------------------------------------------------------------------------------- values

    // What a consumer reads: of a written variable the version that is current where it stands.
    int32_t value_of(Ref ref, int32_t consumer) {
        auto value = values.find(key(ref));
        if (value == values.end())
            bad_graph(graph.label(ref.node) + " has no output " + std::to_string(ref.index) + " here");
        int32_t found = value->second;
        const Node& node = graph.nodes[ref.node];
        auto versions = history.find(ref.node);
        // A fed variable keeps its feed, whatever is written.
        if (versions != history.end() && !(node.variable() && fed.count(key(ref))) && consumer != ref.node)
            found = version(ref.node, consumer, versions->second);
        if (node.source()) seen[{consumer, ref.node}] = found;
        return found;
    }

    // A backward node sees what its forward node saw, whatever was written in between.
    int32_t version(int32_t variable, int32_t consumer, const std::vector<Version>& versions) const {
        const Node& node = graph.nodes[consumer];
        if (node.forward < 0 || (node.rule && node.rule->writes) || (node.branches && !node.branches->writes.empty()))
            return versions.back().slot;
        if (auto found = seen.find({node.forward, variable}); found != seen.end()) return found->second;
        int32_t place = graph.order[node.forward];  // the forward node itself is not needed in this run
        for (size_t k = versions.size(); k-- > 0;)
            if (versions[k].writer < 0 || graph.order[versions[k].writer] < place) return versions[k].slot;
        return versions[0].slot;
    }

    // ---------------------------------------------------------------------------------------- nodes

    void emit(int32_t number) {
        const Node& node = graph.nodes[number];
        if (node.source()) {
            emit_source(number);
            return;
        }
        if (!node.unsupported.empty()) unsupported(node.unsupported);
        current = number;
        if (node.branches) {
            emit_choice(number);
            return;
        }
        if (!node.rule) unsupported("this op needs Python");
        std::vector<Operand> operands;
        std::vector<int32_t> inputs;
        for (const Input& each : node.inputs) {
            if (each.kind == Input::tensor) {
                inputs.push_back(value_of({each.node, each.index}, number));
                operands.push_back(type_of(inputs.back()));
            } else {
                inputs.push_back(-1);
                operands.push_back(graph.operand(each));
            }
        }
        first_wait = waits_for(node);
        std::vector<Type> types;
        try {
            types = infer(*node.rule, operands, node.attrs);
        } catch (const GraphError& error) {
            throw GraphError(error.trouble, error.what() + inputs_text(operands));
        }
        const int32_t first = count();
        std::vector<int32_t> outputs = translate(node, operands, inputs, types);
        for (int32_t at = first; node.rule->writes && at < count(); at++) calls[at] = {};  // a write is no other one
        for (size_t k = 0; k < outputs.size(); k++) values.emplace(key({number, static_cast<int32_t>(k)}), outputs[k]);
        if (node.rule->writes) write(number, node.inputs[0].node, inputs[0], outputs[0]);
    }

    void write(int32_t writer, int32_t variable, int32_t before, int32_t after) {
        auto& versions = history[variable];
        if (versions.empty()) versions.push_back({-1, before});
        versions.push_back({writer, after});
    }

    void emit_choice(int32_t number) {
        const Node& node = graph.nodes[number];
        const Branches& branches = *node.branches;
        first_wait = waits_for(node);
        std::vector<int32_t> inputs;
        for (const Input& each : node.inputs) inputs.push_back(value_of({each.node, each.index}, number));
        Choice choice;
        choice.node = number;
        Step step;
        for (int32_t each : inputs) step.inputs.push_back(contiguous(each));
        choice.predicate = step.inputs[0];
        if (type_of(inputs[0]).dtype != DType::b1 || type_of(inputs[0]).rank())
            bad_graph("its predicate is no bool scalar");
        std::vector<Type> types[2];
        for (int side : {0, 1}) {
            const Graph& body = *branches.body[side];
            std::vector<std::pair<Ref, Type>> feeds;
            for (size_t k = 0; k < body.captures.size(); k++) {
                int32_t from = step.inputs[branches.inputs[side][k]];
                feeds.emplace_back(Ref{body.captures[k], 0}, type_of(from));
                choice.inputs[side].push_back(from);
            }
            choice.recipe[side] = lower(body, body.outputs, feeds);
            const Recipe& inner = *choice.recipe[side];
            for (int32_t each : inner.fetches) {
                if (each < 0) continue;
                const Spec& spec = inner.plan->slots[inner.plan->results[each]].spec;
                types[side].push_back({spec.dtype, Shape(spec.shape, spec.shape + spec.rank), true});
            }
        }
        for (size_t k = 0; k < types[0].size(); k++) {
            if (types[0][k].shape != types[1].at(k).shape)
                unsupported("its branches give " + text_of(types[0][k]) + " and " + text_of(types[1][k]));
            step.outputs.push_back(add_slot(spec_of(types[0][k]), Slot::foreign));
        }
        choice.outputs = step.outputs;
        recipe->choices[static_cast<int32_t>(outline.steps.size())] = choice;
        add_step(std::move(step));
        for (size_t k = 0; k < choice.outputs.size(); k++)
            values.emplace(key({number, static_cast<int32_t>(k)}), choice.outputs[k]);
        for (auto [source, target] : branches.writes)
            write(number, node.inputs[source].node, inputs[source], choice.outputs.at(target));
    }

    void emit_source(int32_t number) {
        const Node& node = graph.nodes[number];
        if (fed.count(key({number, 0}))) return;
        if (!node.unsupported.empty()) unsupported(node.unsupported);
        if (node.op == "capture") bad_graph("it has no value");
        if (node.op == "placeholder")
            bad_argument("it has no value in this run; feed it an array of " + text_of(node.types[0]));
        int32_t made;
        if (node.variable()) {
            made = add_slot(spec_of(node.types[0]), Slot::foreign);
            recipe->states.emplace_back(made, number);
        } else {
            made = constant(node.value);
        }
        values[key({number, 0})] = made;
    }

    // The steps of nodes that have to be done first although no value flows.
    std::vector<int32_t> waits_for(const Node& node) const {
        std::vector<int32_t> found;
        for (int32_t each : node.controls)
            if (auto steps = last_step.find(each); steps != last_step.end()) found.push_back(steps->second);
        return found;
    }

    // ---------------------------------------------------------------------------------------- results

    // The number of the plan's result that holds a value in memory of its own.
    int32_t result(int32_t from) {
        current = -1;
        first_wait.clear();
        if (slot(from).kind != Slot::arena && slot(from).kind != Slot::result) {
            auto copy = copies.find(from);
            if (copy == copies.end()) copy = copies.emplace(from, only("copy", {}, {from}, type_of(from))).first;
            from = copy->second;
        }
        auto& results = outline.results;
        auto found = std::find(results.begin(), results.end(), from);
        if (found != results.end()) return static_cast<int32_t>(found - results.begin());
        slot(from).kind = Slot::result;
        results.push_back(from);
        return static_cast<int32_t>(results.size()) - 1;
    }

    // A graph from a file may ask for anything; better an error than a machine without memory.
    void check_memory(int64_t arena) {
        double wanted = static_cast<double>(arena);
        for (int32_t each : recipe->plan ? recipe->plan->results : outline.results)
            wanted += static_cast<double>((recipe->plan ? recipe->plan->slots : outline.slots)[each].spec.bytes());
        for (const Draw& each : recipe->draws)
            wanted += static_cast<double>((recipe->plan ? recipe->plan->slots : outline.slots)[each.slot].spec.bytes());
        if (wanted > memory()) too_large(wanted);
    }

    const Graph& graph;
    const std::vector<Ref>& fetches;
    std::unordered_map<int64_t, int32_t> values, fed;
    std::map<int32_t, std::vector<Version>> history;  // versions of each variable, with their writers
    std::map<std::pair<int32_t, int32_t>, int32_t> seen;  // (consumer, variable): the version it read
    std::unordered_map<int32_t, int32_t> copies;  // results that are copies, by what they are copies of
};

}  // namespace

std::shared_ptr<const Recipe> lower(const Graph& graph, const std::vector<Ref>& fetches,
                                    const std::vector<std::pair<Ref, Type>>& feeds) {
    return Lowering(graph, fetches, feeds).run();
}

}  // namespace fb::graph
