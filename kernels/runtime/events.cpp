#include "runtime/events.h"

namespace fb {

namespace {

int64_t pack(int32_t high, uint32_t low) { return static_cast<int64_t>(static_cast<uint64_t>(high) << 32 | low); }

}  // namespace

Events& Events::get() {
    static Events* events = new Events;
    return *events;
}

void Events::record(bool on) {
    if (on && places.empty()) places = std::vector<Place>(capacity);
    wanted.store(on, std::memory_order_release);
}

void Events::write(const Event& event) {
    uint64_t number = head.fetch_add(1, std::memory_order_acq_rel);
    Place& place = places[number % capacity];
    place.turn.store(0, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_release);
    place.start.store(event.start, std::memory_order_relaxed);
    place.end.store(event.end, std::memory_order_relaxed);
    place.what.store(pack(event.plan, static_cast<uint32_t>(event.step)), std::memory_order_relaxed);
    place.where.store(pack(event.thread, event.run), std::memory_order_relaxed);
    place.turn.store(number + 1, std::memory_order_release);
}

std::vector<Event> Events::read(uint64_t first) const {
    uint64_t last = count();
    if (last > capacity && first < last - capacity) first = last - capacity;
    std::vector<Event> found;
    for (uint64_t number = first; number < last; number++) {
        const Place& place = places[number % capacity];
        if (place.turn.load(std::memory_order_acquire) != number + 1) continue;
        Event event;
        event.start = place.start.load(std::memory_order_relaxed);
        event.end = place.end.load(std::memory_order_relaxed);
        int64_t what = place.what.load(std::memory_order_relaxed), where = place.where.load(std::memory_order_relaxed);
        event.plan = static_cast<int32_t>(what >> 32);
        event.step = static_cast<int32_t>(what);
        event.thread = static_cast<int32_t>(where >> 32);
        event.run = static_cast<uint32_t>(where);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (place.turn.load(std::memory_order_relaxed) == number + 1) found.push_back(event);
    }
    return found;
}

}  // namespace fb
