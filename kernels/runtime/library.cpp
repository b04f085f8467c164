#include "runtime/library.h"

#include <cstdlib>
#include <mutex>

#include <dlfcn.h>

namespace fb {

namespace {

// What the CPU of this machine can run, best first.
std::vector<std::string> usable() {
    std::vector<std::string> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512cd");
    if (v4) found.push_back("v4");
    if (v3) found.push_back("v3");
#endif
    found.push_back("base");
    return found;
}

std::string folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&usable), &info) || !info.dli_fname) return "";
    std::string path = info.dli_fname;
    size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

}  // namespace

Library& Library::get() {
    static Library* library = new Library;  // kernels may run until the very end
    return *library;
}

Library::Library() {
    const char* asked = std::getenv("FLOWBOOK_CPU");
    for (const std::string& each : usable()) {
        if (asked && *asked && each != asked) continue;
        void* handle = dlopen((folder() + "libflowbook_cpu_" + each + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!handle) continue;
        auto table = reinterpret_cast<Table>(dlsym(handle, "fb_kernels"));
        if (!table) continue;
        for (const Entry* entry = table(); entry->name; entry++) factories[entry->name] = entry->make;
        variant_ = each;
        return;
    }
}

std::unique_ptr<Kernel> Library::make(const std::string& name, const Signature& signature) const {
    std::function<std::unique_ptr<Kernel>(const Signature&)> factory;
    {
        std::shared_lock<std::shared_mutex> guard(mutex);
        auto found = factories.find(name);
        if (found == factories.end()) return nullptr;
        factory = found->second;
    }
    return factory(signature);
}

bool Library::has(const std::string& name) const {
    std::shared_lock<std::shared_mutex> guard(mutex);
    return factories.count(name) != 0;
}

std::vector<std::string> Library::names() const {
    std::shared_lock<std::shared_mutex> guard(mutex);
    std::vector<std::string> found;
    for (auto& each : factories) found.push_back(each.first);
    return found;
}

void Library::add(const std::string& name, std::function<std::unique_ptr<Kernel>(const Signature&)> make) {
    std::unique_lock<std::shared_mutex> guard(mutex);
    factories[name] = std::move(make);
}

}  // namespace fb
