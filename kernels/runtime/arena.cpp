#include "runtime/executor.h"

#include <algorithm>
#include <cstdlib>

#include <sys/mman.h>

namespace fb {

namespace {

constexpr int64_t huge_page = int64_t{1} << 21;
constexpr size_t kept_blocks = 2;

struct Block {
    char* data;
    int64_t size;
};

// Blocks that no run uses now, and the count of what is used.
struct Cache {
    std::mutex mutex;
    std::vector<Block> free;
    int64_t used = 0, peak = 0;
};

Cache& cache() {
    static Cache* made = new Cache;
    return *made;
}

Block allocate(int64_t bytes) {
    int64_t step = bytes >= huge_page ? huge_page : 4096;
    int64_t size = (bytes + step - 1) / step * step;
    void* data = std::aligned_alloc(step, size);
    if (!data) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    // Fewer page faults: the first touch of an arena costs as much as a pass over it.
    if (step == huge_page) madvise(data, size, MADV_HUGEPAGE);
#endif
    return {static_cast<char*>(data), size};
}

}  // namespace

Arena::Arena(int64_t bytes) {
    if (bytes == 0) return;
    Cache& c = cache();
    std::lock_guard hold(c.mutex);
    auto best = c.free.end();
    for (auto it = c.free.begin(); it != c.free.end(); ++it)
        if (it->size >= bytes && (best == c.free.end() || it->size < best->size)) best = it;
    if (best != c.free.end()) {
        block = best->data;
        size = best->size;
        c.free.erase(best);
    } else {
        // A growing demand must not leave its smaller blocks behind.
        for (auto& each : c.free) std::free(each.data);
        c.free.clear();
        Block made = allocate(bytes);
        block = made.data;
        size = made.size;
    }
    c.used += size;
    c.peak = std::max(c.peak, c.used);
}

Arena::~Arena() {
    if (!block) return;
    Cache& c = cache();
    std::lock_guard hold(c.mutex);
    c.used -= size;
    c.free.push_back({block, size});
    if (c.free.size() > kept_blocks) {
        auto least = std::min_element(c.free.begin(), c.free.end(),
                                      [](const Block& a, const Block& b) { return a.size < b.size; });
        std::free(least->data);
        c.free.erase(least);
    }
}

int64_t Arena::in_use() {
    std::lock_guard hold(cache().mutex);
    return cache().used;
}

int64_t Arena::peak() {
    std::lock_guard hold(cache().mutex);
    return cache().peak;
}

void Arena::reset_peak() {
    std::lock_guard hold(cache().mutex);
    cache().peak = cache().used;
}

void Arena::release_cached() {
    std::lock_guard hold(cache().mutex);
    for (auto& each : cache().free) std::free(each.data);
    cache().free.clear();
}

}  // namespace fb
