"""SHA-256 hashes that detect damage in the arrays and in the JSON record of a checkpoint."""

import hashlib
import json
from typing import Any

import numpy as np

# Keys of the record that exist on disk only. The second hash covers the record including the first hash.
ARRAYS, RECORD = "arrays_sha256", "record_sha256"


class Damaged(ValueError):
    """Error for a record that does not match its hash."""


def tree_digest(tree: Any) -> str | None:
    """Return the hash of the names, dtypes, shapes and values of a tree's arrays.

    For a scalar only the name and the value (as float64) are hashed, because Orbax may restore it with another type.

    Args:
        tree: a pytree of arrays and scalars.

    Returns:
        64 hexadecimal digits, or None if other processes hold parts of the arrays.
    """
    import jax

    found = hashlib.sha256()
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not getattr(leaf, "is_fully_addressable", True):
            return None
        array = np.asarray(leaf)
        # Orbax restores a tuple as a list and a NamedTuple as a dict; the names of the leaves stay the same.
        names = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in keys]
        if array.ndim == 0:
            found.update(json.dumps([names, float(array)]).encode())
            continue
        found.update(json.dumps([names, array.dtype.name, array.shape]).encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).view(np.uint8).data)
    return found.hexdigest()


def record_digest(record: dict[str, Any]) -> str:
    """Return the hash of a JSON object; the order of its keys and its formatting have no effect.

    Returns:
        64 hexadecimal digits.
    """
    plain = json.loads(json.dumps(record))  # as on disk: keys become strings, and tuples become lists
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def sealed(tree: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Add hashes to a record.

    Args:
        tree: a pytree of arrays.
        record: a JSON object.

    Returns:
        A copy of the record with the hash of the arrays, unless :func:`tree_digest` is None, and the hash of the
        record.
    """
    digest = tree_digest(tree)
    whole = {**record, ARRAYS: digest} if digest else dict(record)
    return {**whole, RECORD: record_digest(whole)}


def opened(record: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Check a record that :func:`sealed` returned. Records of earlier versions have no hash and are not checked.

    Returns:
        The record without its hashes, and the hash of the arrays, or None if the record has none.

    Raises:
        Damaged: If the record does not match its hash.
    """
    rest = {key: value for key, value in record.items() if key != RECORD}
    if RECORD in record and record[RECORD] != record_digest(rest):
        raise Damaged("the record does not match its hash")
    digest = rest.pop(ARRAYS, None)
    return rest, digest
