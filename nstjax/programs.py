"""Compiled programs, kept from one run to the next."""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nstjax.files import cache_folder, write_atomically

LIMIT = 2**30  # bytes of kept programs; a new shape of photograph or painting leaves about one million
_kept: dict[str, Path] = {}  # "folder": of whole programs, once they are kept
_loaded: dict[Any, Any] = {}  # programs of this process


def enable_compilation_cache() -> None:
    """Keep every compiled program in the user's cache, so that the next run need not compile it.

    Where the cache cannot be written, nothing is kept: the run does not depend on it.
    """
    import jax

    folder = cache_folder() / "xla"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        _kept["folder"] = folder
        _prune(folder)  # last: another process may remove a file before it is looked at


def _prune(folder: Path) -> None:
    """Remove what was used longest ago, where there is too much."""
    files = [(path, path.stat()) for path in folder.iterdir()]
    total = sum(facts.st_size for _, facts in files)
    if total <= LIMIT:
        return
    for path, facts in sorted(files, key=lambda file: file[1].st_mtime):
        path.unlink(missing_ok=True)
        total -= facts.st_size
        if total <= LIMIT / 2:
            break


def run(jitted: Any, arguments: tuple[Any, ...], static: Any) -> Any:
    """``jitted(*arguments, static)``, without tracing where an earlier process has left the whole program.

    JAX's own cache saves the compilation alone: tracing and lowering a network and its gradient take a second
    more. Nothing is kept before :func:`enable_compilation_cache`, nor where the program could not be known again:
    for arrays on several devices, within another trace, or functions told apart by their address alone.

    Args:
        jitted: of ``jax.jit``; what it does is fixed by the code of installed packages, its arguments and ``static``.
        arguments: trees of arrays.
        static: the last argument, which is static: hashable, with a ``repr`` that says all there is to it.
    """
    import jax

    if "folder" not in _kept:
        return jitted(*arguments, static)
    leaves, structure = jax.tree.flatten(arguments)
    if not all(_is_plain(leaf) for leaf in leaves):
        return jitted(*arguments, static)
    kinds = tuple((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in leaves)
    key = (jitted, structure, kinds, static)
    if key not in _loaded:
        said = f"{jitted.__module__}.{jitted.__name__} {structure} {kinds} {static!r} {_surroundings()}"
        path = _kept["folder"] / f"nstjax-{hashlib.sha256(said.encode()).hexdigest()}"
        # At an address another function may lie the next time; a sharding moves its arguments by itself.
        strange = " at 0x" in said or "Sharding(" in str(structure)
        if strange:
            _loaded[key] = jitted
        elif kept := _load(path):
            with contextlib.suppress(Exception):  # a damaged program may be loaded, and fail when it is run
                found = jax.block_until_ready(kept(*arguments))
                _loaded[key] = kept
                return found
        if key not in _loaded:
            _loaded[key] = _make(path, jitted, arguments, static)
    program = _loaded[key]
    return program(*arguments, static) if program is jitted else program(*arguments)


def _is_plain(leaf: Any) -> bool:
    import jax
    import numpy as np

    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
        return leaf.sharding == jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return isinstance(leaf, np.ndarray | np.generic)


def _processor() -> list[str]:
    """What tells apart processors that do not run each other's code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return list(platform.uname())
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})


@functools.cache
def _surroundings() -> str:
    """All else that a program depends on: this machine, the packages, their settings."""
    import jax

    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    device = jax.devices()[0]
    settings = {
        "flags": [os.environ.get(name) for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        "settings": {name: value for name, value in jax.config.values.items() if "cache" not in name},
        "packages": [(name, version(name)) for name in ("jax", "jaxlib", "jaxopt", "optax")],
        "machine": (_processor(), os.cpu_count(), device.platform, device.device_kind),
        "code": code.hexdigest(),
    }
    return repr(settings)


def _load(path: Path) -> Any:
    from jax.experimental import serialize_executable

    try:
        # The user's own folder: what lies there is trusted, as JAX trusts its compiled code beside it.
        program = serialize_executable.deserialize_and_load(*pickle.loads(path.read_bytes()))
        os.utime(path)  # used today
        return program
    except Exception:  # missing, damaged or of another release: it is made anew
        return None


@contextlib.contextmanager
def _without_jax_cache() -> Iterator[None]:
    """A program that JAX has taken from its cache loses its functions when it is written again (jaxlib 0.10.2)."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # whether there is one is asked once
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def _make(path: Path, jitted: Any, arguments: tuple[Any, ...], static: Any) -> Any:
    from jax.experimental import serialize_executable

    with _without_jax_cache():
        program = jitted.lower(*arguments, static).compile()
    with contextlib.suppress(Exception):  # some platforms cannot; a full disk is no reason to stop either
        write_atomically(path, pickle.dumps(serialize_executable.serialize(program)))
    return program
