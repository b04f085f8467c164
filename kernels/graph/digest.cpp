// SHA-256 as in FIPS 180-4; BLAKE2b as in RFC 7693.
#include "graph/digest.h"

#include <algorithm>
#include <cstring>

namespace fb::graph {

namespace {

constexpr uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t right(uint32_t x, int n) { return x >> n | x << (32 - n); }
uint64_t right(uint64_t x, int n) { return x >> n | x << (64 - n); }

}  // namespace

void Sha256::block(const uint8_t* data) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        const uint8_t* from = data + 4 * i;
        w[i] = uint32_t{from[0]} << 24 | uint32_t{from[1]} << 16 | uint32_t{from[2]} << 8 | from[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    uint32_t s[8];
    std::memcpy(s, state, sizeof s);
    int i = 0;
    // The names turn instead of the values.
    auto round = [&](uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f, uint32_t g, uint32_t& h) {
        uint32_t t = h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g)) + round_constants[i] + w[i];
        d += t;
        h = t + (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        i++;
    };
    while (i < 64) {
        round(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
        round(s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6]);
        round(s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5]);
        round(s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4]);
        round(s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3]);
        round(s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2]);
        round(s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1]);
        round(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0]);
    }
    for (int k = 0; k < 8; k++) state[k] += s[k];
}

void Sha256::add(const void* data, size_t bytes) {
    auto from = static_cast<const uint8_t*>(data);
    total += bytes;
    while (bytes) {
        if (held == 0 && bytes >= 64) {
            block(from);
            from += 64;
            bytes -= 64;
            continue;
        }
        size_t n = bytes < 64 - held ? bytes : 64 - held;
        std::memcpy(buffer + held, from, n);
        held += n;
        from += n;
        bytes -= n;
        if (held == 64) {
            block(buffer);
            held = 0;
        }
    }
}

std::array<uint8_t, 32> Sha256::finish() {
    uint64_t bits = total * 8;
    uint8_t one = 0x80, zero = 0, length[8];
    add(&one, 1);
    while (held != 56) add(&zero, 1);
    for (int i = 0; i < 8; i++) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
    add(length, 8);
    std::array<uint8_t, 32> found;
    for (int i = 0; i < 32; i++) found[i] = static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
    return found;
}

std::array<uint8_t, 64> blake2b(const std::string& text, int bytes) {
    constexpr uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                   0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    constexpr uint8_t order[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                       {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                       {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                       {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                       {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                       {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                       {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                       {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                       {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                       {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    uint64_t h[8];
    std::memcpy(h, start, sizeof h);
    h[0] ^= 0x01010000u ^ static_cast<uint64_t>(bytes);
    size_t blocks = text.empty() ? 1 : (text.size() + 127) / 128;
    for (size_t n = 0; n < blocks; n++) {
        uint8_t raw[128] = {};
        size_t length = std::min<size_t>(128, text.size() - n * 128);
        std::memcpy(raw, text.data() + n * 128, length);
        uint64_t m[16], v[16];
        std::memcpy(m, raw, sizeof m);  // little-endian
        for (int i = 0; i < 8; i++) {
            v[i] = h[i];
            v[i + 8] = start[i];
        }
        v[12] ^= n * 128 + length;
        if (n + 1 == blocks) v[14] = ~v[14];
        auto mix = [&](int a, int b, int c, int d, uint64_t x, uint64_t y) {
            v[a] += v[b] + x;
            v[d] = right(v[d] ^ v[a], 32);
            v[c] += v[d];
            v[b] = right(v[b] ^ v[c], 24);
            v[a] += v[b] + y;
            v[d] = right(v[d] ^ v[a], 16);
            v[c] += v[d];
            v[b] = right(v[b] ^ v[c], 63);
        };
        for (int round = 0; round < 12; round++) {
            const uint8_t* s = order[round % 10];
            for (int i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
            for (int i = 0; i < 4; i++)
                mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
        }
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }
    std::array<uint8_t, 64> found;
    std::memcpy(found.data(), h, 64);
    return found;
}

}  // namespace fb::graph
