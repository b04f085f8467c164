// The kernels that this machine can run: the table of the best variant that its CPU has.
#pragma once

#include "runtime/kernel.h"

#include <shared_mutex>

namespace fb {

class Library {
  public:
    // Finds the tables beside this library; FLOWBOOK_CPU=v4, v3 or base in the environment asks for one of them.
    static Library& get();

    // A prepared kernel, or nullptr when there is none of that name for this signature.
    std::unique_ptr<Kernel> make(const std::string& name, const Signature& signature) const;
    bool has(const std::string& name) const;
    std::vector<std::string> names() const;
    const std::string& variant() const { return variant_; }

    // Adds or replaces a factory: an operator that somebody wrote.
    void add(const std::string& name, std::function<std::unique_ptr<Kernel>(const Signature&)> make);

  private:
    Library();
    mutable std::shared_mutex mutex;
    std::map<std::string, std::function<std::unique_ptr<Kernel>(const Signature&)>> factories;
    std::string variant_ = "none";
};

}  // namespace fb
