// Builds a small network in C++ and runs it for two sizes of batch.
#include "flowbook.hpp"

#include <cstdio>

using namespace flowbook;

namespace {

Array<float> ramp(const Shape& shape, float scale) {
    Array<float> made(shape);
    for (size_t i = 0; i < made.size(); i++) made[i] = scale * (static_cast<float>(i % 11) - 5.0f);
    return made;
}

}  // namespace

int main() {
    try {
        Graph graph;
        Tensor x = graph.placeholder<float>({-1, 4}, "x", {"batch", ""});
        Tensor w = graph.variable("w", ramp({4, 8}, 0.1f)), b = graph.variable("b", Array<float>({8}));
        Tensor v = graph.variable("v", ramp({8, 3}, 0.2f));
        Tensor hidden = relu(matmul(x, w) + b);
        Tensor probabilities = softmax(matmul(hidden, v) / 2.0);
        Tensor best = argmax(probabilities);
        Tensor count = graph.variable("count", Array<int64_t>::of(0), false);
        Tensor counted = assign_add(count, 1);

        Session session(graph);
        for (int64_t batch : {1, 3}) {
            Array<float> data = ramp({batch, 4}, 1.0f);
            auto results = session.run({probabilities, best, counted}, {{x, data}});
            Array<float> p = results[0].as<float>();
            Array<int64_t> k = results[1].as<int64_t>();
            for (int64_t row = 0; row < batch; row++)
                std::printf("%.9g %.9g %.9g best %d\n", p.at({row, 0}), p.at({row, 1}), p.at({row, 2}),
                            static_cast<int>(k.at({row})));
        }
        std::printf("runs %d\n", static_cast<int>(session.get<int64_t>(count).item()));
    } catch (const Error& error) {
        return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
}
