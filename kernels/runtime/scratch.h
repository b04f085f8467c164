// Memory for the length of a block: `Scratch a(bytes)`. 64-byte aligned, not cleared.
//
// Small pieces come from a stack that each thread keeps, so that nobody asks the system once it has grown; scratches of
// one thread end in reverse order. Large ones come from a pile that all threads share, so that there are only as many
// as are in use at the same time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>
#include <tuple>
#include <utility>
#include <vector>

#include <sys/mman.h>

namespace fb {

// What a thread that has had any scratch has at hand, when none is in use.
constexpr size_t sure_bytes = size_t{1} << 17;

class Scratch {
  public:
    explicit Scratch(size_t bytes) : large(bytes >= large_bytes) {
        if (large) {
            block = pile().take(bytes);
            return;
        }
        Stack& stack = here();
        before = {stack.current, stack.used};
        block.first = stack.take((bytes + 63) / 64 * 64 + 64);
    }
    ~Scratch() {
        if (large)
            pile().give(block);
        else
            here().back(before);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    template <class T> T* as() const { return reinterpret_cast<T*>(block.first); }

  private:
    using Block = std::pair<char*, size_t>;  // and its bytes
    static constexpr size_t large_bytes = size_t{1} << 20;
    static constexpr size_t kept_bytes = size_t{1} << 26;

    struct Pile {
        std::mutex mutex;
        std::vector<Block> free;
        size_t kept = 0;

        Block take(size_t bytes) {
            {
                std::lock_guard hold(mutex);
                auto best = free.end();
                for (auto it = free.begin(); it != free.end(); ++it)
                    if (it->second >= bytes && (best == free.end() || it->second < best->second)) best = it;
                if (best != free.end()) {
                    Block found = *best;
                    free.erase(best);
                    kept -= found.second;
                    return found;
                }
                drop(bytes);  // a growing demand must not leave its smaller blocks behind
            }
            constexpr size_t huge_page = size_t{1} << 21;
            const size_t step = bytes >= huge_page ? huge_page : 4096;
            const size_t size = (bytes + step - 1) / step * step;
            void* made = std::aligned_alloc(step, size);
            if (!made) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
            // Panels of large products: with small pages a twentieth of the time goes to finding them.
            if (step == huge_page) madvise(made, size, MADV_HUGEPAGE);
#endif
            return {static_cast<char*>(made), size};
        }
        void give(Block block) {
            std::lock_guard hold(mutex);
            free.push_back(block);
            kept += block.second;
            if (kept > kept_bytes) drop(kept - kept_bytes);
        }
        // Gives blocks of so many bytes back, the smallest first.
        void drop(size_t bytes) {
            std::sort(free.begin(), free.end(), [](const Block& a, const Block& b) { return a.second > b.second; });
            for (size_t gone = 0; gone < bytes && !free.empty(); free.pop_back()) {
                gone += free.back().second;
                kept -= free.back().second;
                std::free(free.back().first);
            }
        }
    };
    static Pile& pile() {
        static Pile* made = new Pile;  // threads may outlive everything else
        return *made;
    }

    struct Stack {
        std::vector<Block> blocks;
        size_t current = 0, used = 0;

        char* take(size_t bytes) {
            while (current < blocks.size() && used + bytes > blocks[current].second) {
                current++;
                used = 0;
            }
            if (current == blocks.size()) {
                constexpr size_t step = 2 * sure_bytes;
                const size_t size = (bytes + step - 1) / step * step;
                void* made = std::aligned_alloc(4096, size);
                if (!made) throw std::bad_alloc();
                blocks.emplace_back(static_cast<char*>(made), size);
                used = 0;
            }
            char* result = blocks[current].first + used;
            used += bytes;
            return result;
        }
        void back(std::pair<size_t, size_t> to) { std::tie(current, used) = to; }
        ~Stack() {
            for (auto& each : blocks) std::free(each.first);
        }
    };
    static Stack& here() {
        static thread_local Stack stack;
        return stack;
    }

    bool large;
    std::pair<size_t, size_t> before;  // of the stack: block, and bytes used there
    Block block{nullptr, 0};
};

}  // namespace fb
