"""Ways to break bytes that know nothing of formats."""

import random

# Numbers at which sizes overflow, turn negative or are refused, by width in bytes.
EDGES = {
    1: (0, 1, 0x7F, 0x80, 0xFF),
    2: (0, 1, 0x7FFF, 0x8000, 0xFFFF, 9459),
    4: (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x10000, 9459, 89478486),
    8: (0, 1, 2**31, 2**32, 2**48, 2**63 - 1, 2**63, 2**64 - 1),
}


def place(draw: random.Random, data: bytes) -> int:
    """Somewhere in the data, half of the time in the first 64 bytes, where headers are."""
    return draw.randrange(max(1, min(len(data), 64) if draw.random() < 0.5 else len(data)))


def flip_bits(draw: random.Random, data: bytes) -> bytes:
    broken = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if broken:
            broken[place(draw, data)] ^= 1 << draw.randrange(8)
    return bytes(broken)


def set_bytes(draw: random.Random, data: bytes) -> bytes:
    start = place(draw, data)
    count = draw.choice((1, 2, 4, 16))
    value = draw.choice((draw.randbytes(count), bytes(count), b"\xff" * count))
    return data[:start] + value + data[start + count :]


def set_number(draw: random.Random, data: bytes) -> bytes:
    width = draw.choice(sorted(EDGES))
    start = place(draw, data)
    value = draw.choice(EDGES[width]).to_bytes(width, draw.choice(("little", "big")))
    return data[:start] + value + data[start + width :]


def truncate(draw: random.Random, data: bytes) -> bytes:
    return data[: place(draw, data)]


def insert(draw: random.Random, data: bytes) -> bytes:
    start = place(draw, data)
    return data[:start] + draw.randbytes(draw.choice((1, 2, 4, 64))) + data[start:]


def delete(draw: random.Random, data: bytes) -> bytes:
    start = place(draw, data)
    return data[:start] + data[start + draw.choice((1, 2, 4, 64)) :]


def repeat(draw: random.Random, data: bytes) -> bytes:
    first, last = sorted((place(draw, data), place(draw, data)))
    return data[:last] + data[first:last] * draw.choice((1, 3)) + data[last:]


def swap(draw: random.Random, data: bytes) -> bytes:
    """Two neighboring stretches change places."""
    first, middle, last = sorted(place(draw, data) for _ in range(3))
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


MUTATIONS = (flip_bits, set_bytes, set_number, truncate, insert, delete, repeat, swap)


def mutate(draw: random.Random, data: bytes) -> bytes:
    """The data after one to three of these."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = draw.choice(MUTATIONS)(draw, data)
    return data
