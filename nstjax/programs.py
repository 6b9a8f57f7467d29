"""Cached compiled programs, which a later run loads.

A kept program is machine code (and JAX describes it by a pickle), so reading one amounts to running it. All of them
lie in a :class:`nstjax.sealed.SealedFolder`: nothing of a file is interpreted before its keyed hash has been checked.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nstjax.files import cache_folder
from nstjax.private import Refused
from nstjax.sealed import SealedFolder

LIMIT = 2**30  # bytes of cached programs; a new shape of photograph or painting leaves about one million
_kept: dict[str, SealedFolder | None] = {"folder": None}  # "folder": of whole programs
_loaded: dict[Any, Any] = {}  # programs of this process


def enable_compilation_cache() -> str | None:
    """Keep compiled programs in the user's cache, so that the next run need not compile them.

    Two kinds are kept in the folder ``xla``: whole programs (:func:`run`), and through JAX's compilation cache the
    compiled code of all others. The folder has mode 0700. If it is a symbolic link, belongs to another user, or
    cannot be written, nothing is kept and the run goes on.

    Returns:
        None, or a sentence that says why nothing is kept.
    """
    import jax

    try:
        cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = SealedFolder(cache_folder() / "xla")
        folder.write("test", b"")
        _seal_jax_cache(folder)
    except (Refused, OSError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return (
            f"compiled programs are not kept for the next run ({reason}): set NSTJAX_CACHE and NSTJAX_STATE to folders "
            f"of your own"
        )
    jax.config.update("jax_compilation_cache_dir", str(folder.path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _kept["folder"] = folder
    with contextlib.suppress(OSError):  # another process may remove a file before it is looked at
        _prune(folder.path)
    return None


def _seal_jax_cache(folder: SealedFolder) -> None:
    """Make JAX keep its compiled code as files of ``folder``, with their keyed hashes.

    JAX's own files carry no hash. No public setting replaces them, so this replaces the function by which JAX opens
    its cache (JAX 0.10 and 0.11).

    Raises:
        ImportError: this release of JAX opens its cache in another way.
    """
    from jax._src import compilation_cache
    from jax._src.compilation_cache_interface import CacheInterface

    class SealedCache(CacheInterface):
        _path = folder.path

        def get(self, key: str) -> bytes | None:
            return folder.read(f"jax {key}")

        def put(self, key: str, value: bytes) -> None:
            with contextlib.suppress(OSError):  # a full disk is no reason to stop
                folder.write(f"jax {key}", value)

    if not hasattr(compilation_cache, "get_file_cache"):
        raise ImportError("this release of JAX has another kind of cache")
    before = getattr(compilation_cache.get_file_cache, "replaced", compilation_cache.get_file_cache)

    def get_file_cache(path: str) -> tuple[Any, str] | None:
        return (SealedCache(), path) if path == str(folder.path) else before(path)

    get_file_cache.replaced = before  # type: ignore[attr-defined]
    compilation_cache.get_file_cache = get_file_cache


def _prune(folder: Path) -> None:
    """If there are more than :data:`LIMIT` bytes, delete the least recently used files, down to half of that."""
    files = [(path, path.lstat()) for path in folder.iterdir() if path.is_symlink() or path.is_file()]
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

    folder = _kept["folder"]
    if folder is None:
        return jitted(*arguments, static)
    leaves, structure = jax.tree.flatten(arguments)
    if not all(_is_plain(leaf) for leaf in leaves):
        return jitted(*arguments, static)
    kinds = tuple((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in leaves)
    key = (jitted, structure, kinds, static)
    if key not in _loaded:
        said = f"{jitted.__module__}.{jitted.__name__} {structure} {kinds} {static!r} {_surroundings()}"
        name = hashlib.sha256(said.encode()).hexdigest()
        # At an address another function may lie the next time; a sharding moves its arguments by itself.
        strange = " at 0x" in said or "Sharding(" in str(structure)
        if strange:
            _loaded[key] = jitted
        elif kept := _load(folder, name):
            with contextlib.suppress(
                Exception
            ):  # kept by another build of jaxlib, it may fail when it is run
                found = jax.block_until_ready(kept(*arguments))
                _loaded[key] = kept
                return found
        if key not in _loaded:
            _loaded[key] = _make(folder, name, jitted, arguments, static)
    program = _loaded[key]
    return program(*arguments, static) if program is jitted else program(*arguments)


def _is_plain(leaf: Any) -> bool:
    import jax
    import numpy as np

    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
        return leaf.sharding == jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return isinstance(leaf, np.ndarray | np.generic)


def _processor() -> list[str]:
    """Return facts that differ between processors that cannot run each other's code."""
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


def _load(folder: SealedFolder, name: str) -> Any:
    from jax.experimental import serialize_executable

    content = folder.read(name)
    if content is None:
        return None
    try:
        # Both JAX's function and the trees need pickles. These bytes are this user's own: `read` has checked the keyed
        # hash. A format without pickles would protect no further, since the program itself is machine code.
        return serialize_executable.deserialize_and_load(*pickle.loads(content))
    except Exception:  # of another build of jaxlib: it is compiled again
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


def _make(folder: SealedFolder, name: str, jitted: Any, arguments: tuple[Any, ...], static: Any) -> Any:
    from jax.experimental import serialize_executable

    with _without_jax_cache():
        program = jitted.lower(*arguments, static).compile()
    with contextlib.suppress(Exception):  # some platforms cannot; a full disk is no reason to stop either
        folder.write(name, pickle.dumps(serialize_executable.serialize(program)))
    return program
