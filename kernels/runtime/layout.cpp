#include "runtime/layout.h"

#include <algorithm>
#include <numeric>

namespace fb {

namespace {

constexpr size_t many = 2000;  // comparing each with each would take too long

}  // namespace

int64_t lay_out(std::vector<Buffer>& buffers, const Conflict& conflict) {
    std::vector<size_t> order(buffers.size());
    std::iota(order.begin(), order.end(), 0);
    const bool by_size = buffers.size() <= many;
    if (by_size)
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return buffers[a].size > buffers[b].size; });
    int64_t whole = 0;
    std::vector<size_t> placed;  // by offset
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (size_t index : order) {
        Buffer& buffer = buffers[index];
        if (!by_size)  // in the order of time those whose time is over are in nobody's way
            placed.erase(std::remove_if(placed.begin(), placed.end(),
                                        [&](size_t each) { return buffers[each].last < buffer.first; }),
                         placed.end());
        taken.clear();
        for (size_t each : placed) {
            const Buffer& other = buffers[each];
            bool clash = other.first <= buffer.first ? conflict(other, buffer) : conflict(buffer, other);
            if (clash) taken.emplace_back(other.offset, other.offset + other.size);
        }
        int64_t offset = 0;
        for (auto& [begin, end] : taken) {
            if (begin >= offset + buffer.size) break;
            offset = std::max(offset, end);
        }
        buffer.offset = offset;
        whole = std::max(whole, offset + buffer.size);
        placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                       [&](size_t a, size_t b) { return buffers[a].offset < buffers[b].offset; }),
                      index);
    }
    return whole;
}

}  // namespace fb
