// Running a prepared program: see elementwise.h.
#include "cpu/elementwise.h"

#include <algorithm>

namespace fb::cpu {

// What one thread works with during one part.
struct Pass::Frame {
    const char** slot;
    char* memory;
    const void* const* inputs;
    void* const* outputs;
};

namespace {

template <class T> void take(const T* from, int64_t step, T* to, int64_t n) {
    if (step == 1)
        std::memcpy(to, from, n * sizeof(T));
    else if (step == 0)
        std::fill_n(to, n, *from);
    else
        for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}

void take(int64_t size, const char* from, int64_t step, char* to, int64_t n) {
    switch (size) {
        case 1: return take(reinterpret_cast<const uint8_t*>(from), step, reinterpret_cast<uint8_t*>(to), n);
        case 2: return take(reinterpret_cast<const uint16_t*>(from), step, reinterpret_cast<uint16_t*>(to), n);
        case 4: return take(reinterpret_cast<const uint32_t*>(from), step, reinterpret_cast<uint32_t*>(to), n);
        default: return take(reinterpret_cast<const uint64_t*>(from), step, reinterpret_cast<uint64_t*>(to), n);
    }
}

}  // namespace

const char* Pass::place(const Source& source, const char* from, int64_t start) const {
    int64_t offset = 0;
    for (size_t i = dims.size(); i-- > 0 && start;) {
        offset += start % dims[i] * source.stride[i];
        start /= dims[i];
    }
    return from + offset * source.size;
}

void Pass::gather(const Source& source, const char* from, int64_t start, int64_t n, char* to) const {
    int last = static_cast<int>(dims.size()) - 1;
    int64_t at[max_rank], offset = 0;
    for (int i = last; i >= 0; i--) {
        at[i] = start % dims[i];
        start /= dims[i];
        offset += at[i] * source.stride[i];
    }
    while (n > 0) {
        int64_t run = std::min(dims[last] - at[last], n);
        take(source.size, from + offset * source.size, source.stride[last], to, run);
        to += run * source.size;
        n -= run;
        offset += run * source.stride[last];
        at[last] += run;
        for (int i = last; i > 0 && at[i] == dims[i]; i--) {
            offset += source.stride[i - 1] - dims[i] * source.stride[i];
            at[i] = 0;
            at[i - 1]++;
        }
    }
}

void Pass::block(Frame& frame, int64_t start, int64_t n) const {
    const char** p = frame.slot;
    for (const Source& each : sources) {
        auto from = static_cast<const char*>(frame.inputs[each.input]);
        switch (each.kind) {
            case Source::direct: p[each.slot] = from + start * each.size; break;
            case Source::row:
            case Source::column: p[each.slot] = place(each, from, start); break;
            case Source::tile:
                p[each.slot] = frame.memory + each.buffer + start % walk.row * each.size;
                break;
            case Source::gather: gather(each, from, start, n, frame.memory + each.buffer);
        }
    }
    for (const Written& each : written)
        p[each.slot] = static_cast<const char*>(frame.outputs[each.output]) + start * each.size;
    for (const Step& s : single) s.function(const_cast<char*>(p[s.d]), p[s.a], p[s.b], p[s.c], 1);
    for (const Step& s : steps) s.function(const_cast<char*>(p[s.d]), p[s.a], p[s.b], p[s.c], n);
}

// Accumulators of a part, which are results already or wait for others.
void Pass::leave(size_t which, const char* acc, int64_t at, int64_t n, void* const* outputs, char* temporary) const {
    const Reduction& r = reductions[which];
    if (merges)
        std::memcpy(temporary + (which * temporary_size + at) * 8, acc, n * 8);
    else
        r.reducer->finish(acc, n, count, static_cast<char*>(outputs[r.output]) + at * size_of(r.dtype));
}

void Pass::rows_part(Frame& frame, int64_t index, void* const* outputs, char* temporary) const {
    int64_t row = walk.row, block_rows = walk.rows_per_block;
    int64_t begin = index / walk.chunks * walk.rows_per_part, end = std::min(begin + walk.rows_per_part, walk.rows);
    int64_t from = index % walk.chunks * walk.chunk, to = std::min(from + walk.chunk, row);
    if (reductions.empty()) {
        for (int64_t r = begin; r < end; r += block_rows) {
            if (block_rows > 1)
                block(frame, r * row, std::min(block_rows, end - r) * row);
            else
                for (int64_t i = from; i < to; i += block_size) block(frame, r * row + i, std::min(block_size, to - i));
        }
        return;
    }
    Scratch memory(reductions.size() * block_rows * 8);
    auto acc = memory.as<char>();
    for (int64_t r = begin; r < end; r += block_rows) {
        int64_t n = std::min(block_rows, end - r);
        for (size_t k = 0; k < reductions.size(); k++) reductions[k].reducer->clear(acc + k * block_rows * 8, n);
        for (int64_t i = from; i < to; i += block_size) {
            int64_t length = std::min(block_size, to - i);
            block(frame, r * row + i, n * length);
            for (size_t k = 0; k < reductions.size(); k++)
                reductions[k].reducer->rows(frame.slot[reductions[k].slot], n, length, acc + k * block_rows * 8);
        }
        for (size_t k = 0; k < reductions.size(); k++)
            leave(k, acc + k * block_rows * 8, r * walk.chunks + index % walk.chunks, n, outputs, temporary);
    }
}

void Pass::columns_part(Frame& frame, int64_t index, void* const* outputs, char* temporary) const {
    int64_t row = walk.row, block_rows = walk.rows_per_block;
    int64_t stripe = index % walk.stripes * stripe_size, chunk = index / walk.stripes % walk.chunks;
    int64_t outer = index / walk.stripes / walk.chunks;
    int64_t begin = chunk * walk.chunk, end = std::min(begin + walk.chunk, walk.depth);
    int64_t width = std::min(stripe_size, row - stripe), length = width * std::min(block_rows, end - begin);
    size_t count = reductions.size();
    Scratch memory(count * length * 16);
    auto acc = memory.as<char>(), tile = acc + count * length * 8;
    for (size_t k = 0; k < count; k++) reductions[k].reducer->clear(acc + k * length * 8, length);
    for (int64_t r = begin; r < end;) {
        for (size_t k = 0; k < count; k++) reductions[k].reducer->clear_tile(tile + k * length * 8, length);
        for (int i = 0; i < tile_group && r < end; i++, r += block_rows) {
            int64_t n = std::min(block_rows, end - r) * width;
            for (int64_t j = 0; j < n; j += block_size) {
                int64_t m = std::min(n - j, block_size);
                block(frame, (outer * walk.depth + r) * row + stripe + j, m);
                for (size_t k = 0; k < count; k++) {
                    const Reduction& each = reductions[k];
                    each.reducer->columns(frame.slot[each.slot], m, tile + k * length * 8 + j * each.reducer->tile_size);
                }
            }
        }
        for (size_t k = 0; k < count; k++)
            reductions[k].reducer->flush(tile + k * length * 8, length, acc + k * length * 8);
    }
    for (size_t k = 0; k < count; k++) {
        char* all = acc + k * length * 8;
        for (int64_t i = width; i < length; i += width) reductions[k].reducer->merge(all, all + i * 8, width);
        leave(k, all, (outer * walk.chunks + chunk) * row + stripe, width, outputs, temporary);
    }
}

void Pass::part(int64_t index, const void* const* inputs, void* const* outputs, char* temporary) const {
    Scratch memory(frame_bytes);
    Frame frame{memory.as<const char*>(), memory.as<char>(), inputs, outputs};
    std::memcpy(frame.slot, slots.data(), slots.size() * sizeof(void*));
    for (auto& each : fixed) frame.slot[each.first] = static_cast<const char*>(inputs[each.second]);
    for (auto& each : owned) frame.slot[each.first] = frame.memory + each.second;
    for (const Source& each : sources) {
        if (each.kind != Source::tile) continue;
        auto from = static_cast<const char*>(inputs[each.input]);
        gather(each, from, 0, std::max(walk.row, longest()), frame.memory + each.buffer);
    }
    walk.columns ? columns_part(frame, index, outputs, temporary) : rows_part(frame, index, outputs, temporary);
}

void Pass::run(Work& work, const void* const* inputs, void* const* outputs) const {
    if (!merges) return parts(work, inputs, outputs, nullptr);
    Scratch memory(reductions.size() * temporary_size * 8);
    auto temporary = memory.as<char>();
    parts(work, inputs, outputs, temporary);
    for (size_t k = 0; k < reductions.size(); k++)
        merge_groups(*reductions[k].reducer, leftover, temporary + k * temporary_size * 8, count,
                     outputs[reductions[k].output]);
}

void Pass::parts(Work& work, const void* const* inputs, void* const* outputs, char* temporary) const {
    // Whether parts are worth other threads changes nothing but time.
    if (walk.parts == 1 || cost < 15000)
        for (int64_t i = 0; i < walk.parts; i++) part(i, inputs, outputs, temporary);
    else
        work.parallel(walk.parts, [&](int64_t i) { part(i, inputs, outputs, temporary); });
}

}  // namespace fb::cpu
