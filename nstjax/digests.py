"""SHA-256 hashes that detect damage in the arrays and in the JSON record of a checkpoint."""

import hashlib
import json
from typing import Any

import numpy as np

# Keys that the record has on disk only. The second hash covers the record with the first one in it.
ARRAYS, RECORD = "arrays_sha256", "record_sha256"


class Damaged(ValueError):
    """A record that does not match its hash."""


def tree_digest(tree: Any) -> str | None:
    """Hash the names, dtypes, shapes and values of a tree's arrays.

    Of a scalar only the value counts: Orbax may return it as another type.

    Returns:
        64 hexadecimal digits, or None where other processes hold parts of the arrays.
    """
    import jax

    found = hashlib.sha256()
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not getattr(leaf, "is_fully_addressable", True):
            return None
        array = np.asarray(leaf)
        # A tuple or a record comes back as a list or a dict: the names of their parts stay.
        names = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in keys]
        if array.ndim == 0:
            found.update(json.dumps([names, float(array)]).encode())
            continue
        found.update(json.dumps([names, array.dtype.name, array.shape]).encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).view(np.uint8).data)
    return found.hexdigest()


def record_digest(record: dict[str, Any]) -> str:
    """Hash a JSON object; the order of its keys and the way it is written do not count."""
    plain = json.loads(json.dumps(record))  # keys become strings, and tuples lists, as on disk
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def sealed(tree: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the hash of the arrays and its own."""
    digest = tree_digest(tree)
    whole = {**record, ARRAYS: digest} if digest else dict(record)
    return {**whole, RECORD: record_digest(whole)}


def opened(record: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Check a record that :func:`sealed` returned; one of an earlier version has no hash to check.

    Returns:
        The record as it was given, and the hash of the arrays, if it has one.

    Raises:
        Damaged: it does not match its hash.
    """
    rest = {key: value for key, value in record.items() if key != RECORD}
    if RECORD in record and record[RECORD] != record_digest(rest):
        raise Damaged("the record does not match its hash")
    digest = rest.pop(ARRAYS, None)
    return rest, digest
