// Trains a graph that Python built and saved: train GRAPH STEPS [CHECKPOINT]
//
// The graph has placeholders "x" (float32) and "y" (int32, class numbers), a scalar "loss", and a node "train" that
// does one step of an optimizer, as flowbook.train makes it. The data is made up here.
#include "flowbook.hpp"

#include <cstdio>
#include <cstdlib>

using namespace flowbook;

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "usage: train GRAPH STEPS [CHECKPOINT]\n"), 2;
    try {
        Graph graph = Graph::load(argv[1]);
        Tensor x = graph["x"], y = graph["y"], loss = graph["loss"], train = graph["train"];
        for (const Tensor& each : graph.variables()) std::printf("variable %s\n", each.name().c_str());

        // Sizes that the graph leaves open are 16.
        Shape shape = x.shape(), label_shape = y.shape();
        for (Shape* each : {&shape, &label_shape})
            for (int64_t& dim : *each)
                if (dim < 0) dim = 16;
        Array<float> images(shape);
        Array<int32_t> labels(label_shape);
        for (size_t i = 0; i < images.size(); i++) images[i] = static_cast<float>(i * 7 % 19) / 19.0f - 0.5f;
        for (size_t i = 0; i < labels.size(); i++) labels[i] = static_cast<int32_t>(i % 3);

        Session session(graph);
        for (int step = 0; step < std::atoi(argv[2]); step++) {
            auto results = session.run({loss, train}, {{x, images}, {y, labels}});
            std::printf("loss %.9g\n", results[0].as<float>().item());
        }
        if (argc > 3) session.save(argv[3]);
    } catch (const Error& error) {
        return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
}
