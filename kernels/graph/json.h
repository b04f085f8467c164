// JSON, read strictly: what flowbook/graph/container.py refuses, this refuses. One pass, no more memory than in
// proportion to the text, and no deeper recursion than `max_depth`.
#pragma once

#include "runtime/types.h"

#include <string_view>

namespace fb::graph {

class Json {
  public:
    // `large`: an integer that 64 bits do not hold; `real` has it approximately, `text` its digits.
    enum Kind : uint8_t { null, boolean, integer, large, real_number, string, list, object } kind = null;
    int64_t number = 0;
    double real = 0;
    std::string text;
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;

    // The member of that name, or nullptr.
    const Json* find(std::string_view name) const;
};

constexpr int max_depth = 256;

// Raises Error for what is not JSON. {"$float": "nan"} is a number, and other keys lose one of their leading $.
Json parse_json(std::string_view text);

// A text in quotes, escaped.
std::string quoted(std::string_view text);

// For messages: on one line, not too long.
std::string shown(std::string_view text);

}  // namespace fb::graph
