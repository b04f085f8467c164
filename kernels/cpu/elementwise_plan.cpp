// How the elements of a pass are walked, and where each block of them finds its inputs.
#include "cpu/elementwise.h"

#include <algorithm>

namespace fb::cpu {

namespace {

constexpr int64_t long_row = 128;     // from here on a row is worth blocks of its own
constexpr int64_t longest_tile = 4096;
constexpr double part_time = 50000;   // ns

// Whether strides are those of a row-major array of these dimensions.
bool contiguous(const std::vector<int64_t>& dims, const std::vector<int64_t>& stride) {
    int64_t expected = 1;
    for (size_t i = dims.size(); i-- > 0;) {
        if (stride[i] != expected) return false;
        expected *= dims[i];
    }
    return true;
}

// After how many elements a source starts again.
int64_t period_of(const std::vector<int64_t>& dims, const std::vector<int64_t>& stride) {
    int64_t period = 1;
    bool repeats = true;
    for (size_t i = 0; i < dims.size(); i++) {
        repeats = repeats && stride[i] == 0;
        if (!repeats) period *= dims[i];
    }
    return period;
}

}  // namespace

// Leaves out axes of size 1 and joins neighbours where all sources allow it: `dims`, and the sources' strides.
void Pass::join(const std::vector<int64_t>& shape) {
    std::vector<std::vector<int64_t>> joined(sources.size());
    for (size_t i = 0; i < shape.size(); i++) {
        if (shape[i] == 1) continue;
        bool joins = !dims.empty();
        for (size_t k = 0; joins && k < sources.size(); k++)
            joins = joined[k].back() == shape[i] * sources[k].stride[i];
        if (!joins) dims.push_back(1);
        dims.back() *= shape[i];
        for (size_t k = 0; k < sources.size(); k++) {
            if (!joins) joined[k].push_back(0);
            joined[k].back() = sources[k].stride[i];
        }
    }
    if (dims.empty()) {
        dims.push_back(1);
        for (auto& each : joined) each.push_back(1);
    }
    for (size_t k = 0; k < sources.size(); k++) sources[k].stride = joined[k];
}

// How the elements are walked. For reductions the shape and the axes decide alone; else it is chosen for the strides.
void Pass::plan(int64_t size, double element_cost) {
    Walk& w = walk;
    int64_t part_size = block_size * chunk_blocks;
    if (!groups.empty() && !groups.back().reduced) {
        w.columns = true;
        w.row = groups.back().size;
        w.depth = groups[groups.size() - 2].size;
        w.rows = size / w.row;
        w.outer = w.rows / w.depth;
        w.rows_per_block = w.row < block_size / 2 ? block_size / w.row : 1;
        int64_t rows = part_size / std::min(w.row, block_size);
        w.chunk = std::max<int64_t>(rows / w.rows_per_block, 1) * w.rows_per_block;
        w.chunks = (w.depth + w.chunk - 1) / w.chunk;
        w.stripes = (w.row + stripe_size - 1) / stripe_size;
        w.parts = w.outer * w.chunks * w.stripes;
        return;
    }
    bool strided = false;
    for (const Source& each : sources) strided = strided || !contiguous(dims, each.stride);
    if (!groups.empty()) {
        w.row = groups.back().size;
        w.rows_per_block = std::max<int64_t>(block_size / w.row, 1);
    } else if (!strided) {
        w.row = size;
    } else if (dims.back() >= long_row) {
        w.row = dims.back();
    } else {
        for (size_t i = dims.size(); i-- > 0 && w.row * dims[i] <= block_size;) w.row *= dims[i];
        for (const Source& each : sources) {
            int64_t period = period_of(dims, each.stride);
            if (period <= longest_tile && !contiguous(dims, each.stride)) w.row = std::max(w.row, period);
        }
        w.rows_per_block = std::max<int64_t>(block_size / w.row, 1);
    }
    if (groups.empty()) {
        double fitting = std::min(part_time / element_cost, size / 8.0);
        part_size = std::max<int64_t>(static_cast<int64_t>(fitting) / block_size, 16) * block_size;
    }
    w.rows = size / w.row;
    w.rows_per_block = std::min(w.rows_per_block, w.rows);
    w.chunk = std::min(w.row, part_size);
    w.chunks = (w.row + part_size - 1) / part_size;
    w.rows_per_part = std::max<int64_t>(part_size / w.row / w.rows_per_block, 1) * w.rows_per_block;
    if (w.chunks > 1) w.rows_per_part = 1;
    w.parts = w.chunks * ((w.rows + w.rows_per_part - 1) / w.rows_per_part);
}

// The longest block, in elements.
int64_t Pass::longest() const {
    return walk.rows_per_block > 1 ? walk.row * walk.rows_per_block : std::min(walk.row, block_size);
}

// Where each block finds its elements of a source.
Source::Kind Pass::find(const Source& source) const {
    if (contiguous(dims, source.stride)) return Source::direct;
    // Whether each block is within one run of the last axis.
    int64_t inner = dims.back();
    bool within = walk.rows_per_block > 1
                      ? !walk.columns && inner % longest() == 0
                      : inner % walk.row == 0 || (walk.row % inner == 0 && inner % block_size == 0);
    if (within && source.stride.back() == 1) return Source::row;
    if (within && source.stride.back() == 0) return Source::column;
    return walk.row <= longest_tile && walk.row % period_of(dims, source.stride) == 0 ? Source::tile : Source::gather;
}

// What parts leave behind, and what it takes to put it together.
void Pass::plan_results() {
    if (groups.empty()) return;
    leftover = groups;
    leftover.pop_back();
    if (walk.columns) leftover.pop_back();
    leftover.push_back({walk.chunks, true});
    if (walk.columns) leftover.push_back(groups.back());
    for (const Group& each : leftover) merges = merges || (each.reduced && each.size > 1);
    temporary_size = walk.columns ? walk.outer * walk.chunks * walk.row : walk.rows * walk.chunks;
    for (const Group& each : groups)
        if (each.reduced) count *= each.size;
}

}  // namespace fb::cpu
