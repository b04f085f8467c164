// The file format of flowbook/graph/container.py: a JSON document and named arrays, under one checksum.
#pragma once

#include "graph/json.h"
#include "graph/types.h"

namespace fb::graph {

using Arrays = std::vector<std::pair<std::string, SharedArray>>;

struct Container {
    Json document;
    std::map<std::string, SharedArray> arrays;
};

// Raises GraphError for a file that is missing, damaged, or of another kind.
Container read_container(const std::string& path, const std::string& kind);
Container parse_container(const char* data, size_t bytes, const std::string& kind);

// All or nothing: a file that was there stays when it fails. `document` is JSON.
void write_container(const std::string& path, const std::string& kind, const std::string& document,
                     const Arrays& arrays);

}  // namespace fb::graph
