"""From random bits to random numbers: the transforms that every device shares.

Input is the stream of 64-bit words of Philox4x64-10. One word gives two numbers of up to 32 bits, low half first, or
one of 64. The k-th number depends on the k-th bits only, so a longer draw begins with the shorter one. Bits,
uniforms and integers are exact, hence equal on every device; normals are computed in float64.

>>> words = np.array([0x80000000_40000000, 0xFFFFFFFF_00000000], np.uint64)
>>> uniform(words, 4, np.dtype("float32"))
array([0.25      , 0.5       , 0.        , 0.99999994], dtype=float32)
>>> integers(words, 2, 10, 20)
array([15, 19])
"""

from __future__ import annotations

from typing import Any

import numpy as np

_BITS = {"float16": 11, "float32": 24, "float64": 53}  # what a float of 0.5 to 1 can hold


def words_for(count: int, bits: int) -> int:
    """How many 64-bit words ``count`` numbers of ``bits`` bits (at most 32, or 64) take, an odd one's pair included."""
    pairs = (count + 1) // 2
    return 2 * pairs if bits > 32 else pairs


def halves(words: Any, count: int) -> Any:
    """The first ``count`` 32-bit numbers in the words, low half first."""
    return words.astype("<u8", copy=False).view("<u4")[:count]


def uniform(words: Any, count: int, dtype: Any) -> Any:
    """Numbers in [0, 1): the top bits of a word (float64) or half word, as many as the dtype holds, times a power
    of 1/2; no rounding takes place."""
    bits = _BITS[dtype.name]
    numbers = words[:count] >> (64 - bits) if bits > 32 else halves(words, count) >> (32 - bits)
    result = numbers.astype(dtype)
    result *= dtype.type(2.0**-bits)
    return result


def normal(words: Any, count: int, dtype: Any) -> Any:
    """Normal numbers of mean 0 and variance 1, by pairs: (r cos t, r sin t) with r = sqrt(-2 ln u), t = 2 pi v, where
    u in (0, 1] and v in [0, 1) come from two consecutive uniforms of 53 bits (float64) or 32 bits (other dtypes).

    All is computed in float64 and rounded once. Source: Box and Muller, "A Note on the Generation of Random Normal
    Deviates", Annals of Mathematical Statistics 29(2), 1958.
    """
    pairs = (count + 1) // 2
    bits = 53 if dtype.itemsize == 8 else 32
    numbers = words[: 2 * pairs] >> 11 if bits == 53 else halves(words, 2 * pairs)
    u, v = numbers[0::2].astype(np.float64), numbers[1::2].astype(np.float64)
    u += 1
    u *= 2.0**-bits
    radius = np.sqrt(-2 * np.log(u))
    v *= 2 * np.pi * 2.0**-bits
    result = np.empty((pairs, 2), dtype)
    result[:, 0] = radius * np.cos(v)
    result[:, 1] = radius * np.sin(v)
    return result.reshape(-1)[:count]


def bernoulli(words: Any, count: int, p: float) -> Any:
    """True with probability ``p``, rounded to a multiple of 2**-32: half words below p * 2**32."""
    limit = round(p * 2**32)
    if limit >= 2**32:
        return np.ones(count, bool)
    return halves(words, count) < np.uint32(limit)


def integers(words: Any, count: int, low: int, high: int) -> Any:
    """int64 (uint64 when ``high`` needs it) in [low, high): the top 64 bits of the 128-bit product word * (high - low),
    plus low. The probabilities of two numbers differ by at most 2**-64.

    Source: Lemire, "Fast Random Integer Generation in an Interval", ACM TOMACS 29(1), 2019, without its rejection
    step, so that one number takes one word always.
    """
    span, words = high - low, words[:count]
    offset = words if span == 2**64 else _high_product(words, span)
    total = offset + np.uint64(low % 2**64)  # modulo 2**64, which two's complement makes right for negative low
    return total if high > 2**63 else total.view(np.int64)


def _high_product(words: Any, factor: int) -> Any:
    """The top 64 bits of the 128-bit products, by 32-bit parts (schoolbook multiplication)."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    low, high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    word_low, word_high = words & mask, words >> shift
    middle = word_high * low + (word_low * low >> shift)
    cross = word_low * high + (middle & mask)
    return word_high * high + (middle >> shift) + (cross >> shift)


def permutation(words: Any, count: int) -> Any:
    """0 to count - 1 in random order: the order that sorts the words. Equal words, which would favour some orders,
    have a probability below count**2 * 2**-65."""
    return np.argsort(words[:count], kind="stable").astype(np.int64, copy=False)
