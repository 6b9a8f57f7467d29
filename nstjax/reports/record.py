"""The record of a run: its inputs, settings, environment and losses, as JSON."""

import contextlib
import importlib.metadata
import json
import math
import platform
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax

import nstjax
from nstjax.errors import InputError
from nstjax.files import file_digest, write_atomically
from nstjax.plain import read_json

_FORMAT = 1
_PACKAGES = ("jax", "jaxlib", "jaxopt", "optax", "scipy", "numpy", "pillow")


class FileFacts(TypedDict):
    """Path and hash of an input file in a run record."""

    path: str
    sha256: str


class NetworkFacts(TypedDict):
    """The facts about the feature network that are read from a run record; see ``Backbone.describe``."""

    sha256: str
    arch: NotRequired[str]
    preprocessing: NotRequired[dict[str, Any]]


def environment() -> dict[str, Any]:
    """Return the versions of Python and of the packages that affect a result, and JAX's device.

    A package whose version is unknown is left out, so that the record of a finished picture can always be written.
    """
    versions = {"nstjax": nstjax.__version__}  # a checkout that is not installed has no metadata
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
    }


def file_facts(path: Path) -> FileFacts:
    """Return the absolute path and the SHA-256 of an input file.

    Raises:
        InputError: If the file cannot be read.
    """
    return {"path": str(path.absolute()), "sha256": file_digest(path)}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON. The file is written completely or not at all.

    Non-finite numbers become null, because JSON cannot represent them.

    Args:
        path: the file.
        record: the record; the field ``format`` is added.

    Raises:
        OutputError: If the file cannot be written.
    """
    text = json.dumps(_finite({"format": _FORMAT, **record}), indent=1, allow_nan=False)
    write_atomically(path, text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(path: Path) -> dict[str, Any]:
    """Read a record from :func:`write_record`. Its parts are not checked: see :func:`nstjax.plain.checked`.

    Args:
        path: the file.

    Raises:
        InputError: If the file is missing, is not JSON or not a run record, or has another format version.
    """
    try:
        record = read_json(path)
    except OSError as error:
        raise InputError(f"cannot read the run record {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(
            f"{path} is not a run record: it cannot be read as JSON; name the .run.json beside a picture"
        ) from error
    if not isinstance(record, dict) or not {"format", "config", "inputs"} <= set(record):
        raise InputError(f"{path} is not a run record of nstjax: name the .run.json beside a picture")
    if record["format"] != _FORMAT:
        raise InputError(
            f"{path} is a record of format {str(record['format'])[:20]}, this program reads {_FORMAT}: update it"
        )
    return record
