// Digests: SHA-256 of files, BLAKE2b of what keys random numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fb::graph {

class Sha256 {
  public:
    void add(const void* data, size_t bytes);
    std::array<uint8_t, 32> finish();

  private:
    void block(const uint8_t* data);
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                         0x5be0cd19};
    uint8_t buffer[64];
    size_t held = 0;
    uint64_t total = 0;
};

// The first `bytes` (at most 64) of BLAKE2b without a key, as Python's blake2b(text, digest_size=bytes).
std::array<uint8_t, 64> blake2b(const std::string& text, int bytes);

}  // namespace fb::graph
