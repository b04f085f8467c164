// Where in the arena each buffer lies.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace fb {

// Memory that is needed from one step to another, both counted, in the plan's order.
struct Buffer {
    int64_t size = 0;
    int32_t first = 0, last = 0;
    std::vector<int32_t> users;  // all steps that touch it
    int64_t offset = 0;
};

// Whether two buffers must not share memory; the first one's time begins no later than the second one's.
using Conflict = std::function<bool(const Buffer&, const Buffer&)>;

// Sets offsets and returns the size of the whole. The largest buffers are placed first, each at the lowest offset where
// it meets no conflict; of very many, those that are needed first. Source: Pisarchyk and Lee, "Efficient memory
// management for deep neural net inference", 2020 (arXiv:2001.03288), greedy by size.
int64_t lay_out(std::vector<Buffer>& buffers, const Conflict& conflict);

}  // namespace fb
