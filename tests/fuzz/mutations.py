"""Seeded damage to bytes, to JSON text, and to command lines."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NUMBERS = (
    0,
    1,
    -1,
    2,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    10**20,
    0.5,
    -0.0,
    1e-320,
    1e308,
)
STRANGE = (
    None,
    True,
    False,
    "",
    "a",
    "../x",
    "\ud800",
    "\x00",
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"a": 1},
    *NUMBERS,
)


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    width = int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice([0, 1, 127, 128, 255, 2**31 - 1, 2**32 - 1, 2**63 - 1])) % 256**width
    at = int(rng.integers(len(data)))
    order = "little" if rng.integers(2) else "big"
    data[at : at + width] = value.to_bytes(width, order)[: len(data) - at]


def _near_the_start(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(min(64, len(data)))] = int(rng.integers(256))


def _truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(len(data)) :]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 65))]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(data)))
    piece = data[at : at + int(rng.integers(1, 257))]
    data[at:at] = piece * int(rng.integers(1, 9))


def _noise(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(data)))
    data[at : at + 32] = rng.bytes(min(32, len(data) - at))


_DAMAGE: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip,
    _overwrite,
    _near_the_start,
    _truncate,
    _remove,
    _repeat,
    _noise,
)


def damage_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage; rarely nothing is left, or noise alone."""
    if rng.random() < 0.01:
        return b"" if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 4096)))
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if not data:
            break
        _DAMAGE[rng.integers(len(_DAMAGE))](data, rng)
    return bytes(data)


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        _places(inner, found)
    return found


def damage_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Values removed, renamed or replaced; deep nesting; or damage to the text."""
    choice = rng.random()
    if choice < 0.15:
        return damage_bytes(content, rng)
    if choice < 0.18:
        return b"[" * 100_000 + b"]" * 100_000
    value = json.loads(content)
    if choice < 0.2:
        return json.dumps(value).replace("null", "[" * 2000 + "]" * 2000, 1).encode()
    for _ in range(int(rng.integers(1, 4))):
        places = _places(value, [])
        if not places:
            break
        holder, key = places[rng.integers(len(places))]
        what = rng.random()
        if what < 0.25:
            del holder[key]
        elif what < 0.35 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = STRANGE[rng.integers(len(STRANGE))]
    return json.dumps(value).encode()


def damage_record(content: bytes, rng: np.random.Generator) -> bytes:
    """:func:`damage_json`, mostly with a new hash: without one only the check of the hash would run."""
    from nstjax.digests import RECORD, record_digest

    damaged = damage_json(content, rng)
    if rng.random() < 0.2:
        return damaged
    try:
        record = json.loads(damaged)
        rest = {key: value for key, value in record.items() if key != RECORD}
        return json.dumps({**rest, RECORD: record_digest(rest)}).encode()
    except (ValueError, AttributeError, RecursionError):  # not JSON, or no object
        return damaged


def damage_arguments(arguments: Sequence[str], flags: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A command line with options added that have strange values, and arguments removed or repeated."""
    changed = list(arguments)
    for _ in range(int(rng.integers(1, 4))):
        what = rng.random()
        if what < 0.75:
            flag = flags[rng.integers(len(flags))]
            values = [_word(rng) for _ in range(int(rng.choice([0, 1, 1, 1, 1, 2, 3])))]
            changed += [flag, *values]
        elif what < 0.9 and len(changed) > 1:
            del changed[rng.integers(1, len(changed))]
        else:
            changed.insert(int(rng.integers(1, len(changed) + 1)), _word(rng))
    return changed


_WORDS = (
    *(str(number) for number in NUMBERS),
    *(
        "nan",
        "inf",
        "-inf",
        "1e400",
        "",
        "-",
        "--",
        "a",
        "é",
        "\udcff",
        "0x10",
        "1,2",
        "relu1_1",
        "relu9_9",
        "conv3_1",
    ),
    *(
        "none",
        "auto",
        "all",
        "rest",
        "box:0,0,1,1",
        "box:nan,0,1,1",
        "not:all",
        "/",
        ".",
        "..",
        "~",
        "-5",
        "99999999999999999999",
    ),
    *(
        "lbfgs",
        "adam",
        "gram",
        "gaussian",
        "content",
        "noise",
        "image",
        "johnson",
        "ulyanov",
        "tfds:x",
        "x" * 5000,
    ),
)


def _word(rng: np.random.Generator) -> str:
    return _WORDS[rng.integers(len(_WORDS))]
