"""A cache of compiled programs, which later runs load.

A cached program is machine code, and JAX stores its description as a pickle, so loading one can run arbitrary code.
All of them are in a :class:`nstjax.sealed.SealedFolder`: no byte of a file is interpreted before its keyed hash has
been checked.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import os
import pickle
import platform
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from nstjax.files import cache_folder
from nstjax.free_memory import default_device
from nstjax.private import Refused
from nstjax.sealed import SealedFolder

LIMIT = 2**30  # bytes of cached programs; each new image shape adds about one million bytes
_LIBRARIES = frozenset({"nstjax", "jax", "jaxlib", "jaxopt", "optax", "numpy", "ml_dtypes"})
_kept: dict[str, SealedFolder | None] = {"folder": None}  # "folder": the cache, once it is enabled
_loaded: dict[Any, Any] = {}  # programs that this process has loaded or compiled
_untried: set[Any] = set()  # keys of programs from the cache that have not run yet
_names: dict[Any, str] = {}  # names of programs in the cache
_quiet = {"depth": 0, "before": True}  # of _without_jax_cache
_lock = threading.Lock()


def enable_compilation_cache() -> str | None:
    """Store compiled programs in the user's cache, so that the next run need not compile them.

    The programs are files in the folder ``xla`` of the cache. There are two kinds: complete programs, which
    :func:`run` stores and loads without tracing; and the compiled code of all other programs, which JAX's own
    compilation cache stores. The folder has mode 0700. If it is a symbolic link, belongs to another user, or cannot
    be written, programs are not cached and the run continues.

    Returns:
        None, or a sentence that says why programs are not cached.

    Raises:
        InputError: If ``$NSTJAX_CACHE`` or ``$NSTJAX_STATE`` is not usable; see :func:`nstjax.files.cache_folder`.
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
    with contextlib.suppress(OSError):  # another process may delete a file in the meantime
        _prune(folder.path)
    return None


def _seal_jax_cache(folder: SealedFolder) -> None:
    """Make JAX's compilation cache store its files in ``folder``, with their keyed hashes.

    The files that JAX itself writes have no hash. JAX has no public setting for another cache, so this replaces the
    function with which JAX opens its cache (JAX 0.10 to 0.12).

    Raises:
        ImportError: If this version of JAX opens its cache in another way.
    """
    from jax._src import compilation_cache
    from jax._src.compilation_cache_interface import CacheInterface

    class SealedCache(CacheInterface):
        _path = folder.path

        def get(self, key: str) -> bytes | None:
            return folder.read(f"jax {key}")

        def put(self, key: str, value: bytes) -> None:
            with contextlib.suppress(OSError):  # a full disk must not stop the run
                folder.write(f"jax {key}", value)

    if not hasattr(compilation_cache, "get_file_cache"):
        raise ImportError("this release of JAX has another kind of cache")
    before = getattr(compilation_cache.get_file_cache, "replaced", compilation_cache.get_file_cache)

    def get_file_cache(path: str) -> tuple[Any, str] | None:
        return (SealedCache(), path) if path == str(folder.path) else before(path)

    get_file_cache.replaced = before  # type: ignore[attr-defined]
    compilation_cache.get_file_cache = get_file_cache


def _prune(folder: Path) -> None:
    """If a folder is larger than :data:`LIMIT`, delete its least recently used files, down to half of the limit."""
    files = [(path, path.lstat()) for path in folder.iterdir() if path.is_symlink() or path.is_file()]
    total = sum(facts.st_size for _, facts in files)
    if total <= LIMIT:
        return
    for path, facts in sorted(files, key=lambda file: file[1].st_mtime):
        path.unlink(missing_ok=True)
        total -= facts.st_size
        if total <= LIMIT / 2:
            break


class ProgramRequest(NamedTuple):
    """Arguments of :func:`run`.

    Attributes:
        jitted: the function of ``jax.jit``.
        arguments: pytrees of arrays; for :func:`prepare` also of ``jax.ShapeDtypeStruct``.
        static: the last argument, which is static.
        optimize: False compiles without LLVM's optimizations.
    """

    jitted: Any
    arguments: tuple[Any, ...]
    static: Any
    optimize: bool = True


def run(jitted: Any, arguments: tuple[Any, ...], static: Any, optimize: bool = True) -> Any:
    """Compute ``jitted(*arguments, static)``, with a program from the cache if an earlier process stored it.

    JAX's own cache saves only the compilation; tracing and lowering a network and its gradient take another second.
    This function caches the complete program. It calls ``jitted`` without caching in four cases: before
    :func:`enable_compilation_cache` is called; if a leaf of ``arguments`` is a tracer, is not an array, or is on
    another device than JAX's first; if the thread has another default device; and if the program's description contains
    a memory address, a sharding, or a class or function that is not of nstjax, its libraries, or Python.

    Args:
        jitted: a function of ``jax.jit``. Its result may depend only on the code of installed packages, on its
            arguments, and on ``static``.
        arguments: pytrees of arrays.
        static: the last argument, which is static. It must be hashable, and its ``repr`` must describe it completely.
        optimize: False compiles in half the time on a CPU, without LLVM's optimizations. For a program that runs once, in
            milliseconds: its elementwise operations take twice as long, and the results differ by rounding. It has the same
            effect without a cached program, except for tracers, and no effect on other devices than a CPU.

    Returns:
        The result of ``jitted``.
    """
    import jax

    folder = _folder()
    if folder is None or not all(_is_plain(leaf) for leaf in jax.tree.leaves(arguments)):
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments))
        if optimize or traced or not _options(optimize):
            return jitted(*arguments, static)
        return _without_optimizations(jitted, static)(*arguments)
    request = ProgramRequest(jitted, arguments, static, optimize)
    key, name = _identity(request)
    if key not in _loaded:
        _loaded[key] = _find(folder, key, name, request)
    if key in _untried:
        with contextlib.suppress(Exception):  # a program of another build of jaxlib may fail when it runs
            found = jax.block_until_ready(_loaded[key](*arguments))
            _untried.discard(key)
            return found
        _loaded[key] = _make(folder, name, request)
        _untried.discard(key)
    program = _loaded[key]
    return program(*arguments, static) if program is jitted else program(*arguments)


def prepare(requests: Sequence[ProgramRequest]) -> None:
    """Load or compile several programs in parallel. Later calls of :func:`run` use them.

    Most of a compilation uses one core, so parallel compilation saves time. Programs that :func:`run` would not cache are
    skipped.

    Args:
        requests: arguments of :func:`run`; a leaf may be a ``jax.ShapeDtypeStruct`` in place of an array.
    """
    import jax

    folder = _folder()
    if folder is None:
        return
    wanted: dict[Any, Any] = {}
    for request in requests:
        leaves = jax.tree.leaves(request.arguments)
        if not all(_is_plain(leaf) or isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            continue
        key, name = _identity(request)
        if key not in _loaded:
            wanted[key] = (folder, key, name, request)
    if not wanted:  # all frames of a video but the first
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if pool.submit(jax_settings).result() == jax_settings():
            _loaded.update(zip(wanted, pool.map(lambda of: _find(*of), wanted.values()), strict=True))


def _identity(request: ProgramRequest) -> tuple[Any, str]:
    """Return the key of a program in this process, and its name in the cache; "" if it cannot be cached."""
    import jax

    jitted, arguments, static, optimize = request
    leaves, structure = jax.tree.flatten(arguments)
    kinds = tuple((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in leaves)
    settings = jax_settings()
    key = (jitted, structure, kinds, static, optimize, settings)
    if key not in _names:
        said = f"{jitted.__module__}.{jitted.__name__} {structure} {kinds} {static!r} {optimize} {settings} {_surroundings()}"
        # In the next process another function may have the same address. A sharding places its arguments itself.
        strange = " at 0x" in said or "Sharding(" in said or not _is_library_code((static, structure))
        _names[key] = "" if strange else hashlib.sha256(said.encode()).hexdigest()
    return key, _names[key]


def _is_library_code(value: Any) -> bool:
    """Return True if all classes and functions in ``value`` belong to nstjax, JAX, NumPy or Python.

    The names of cached programs cover the code of these, but not the code of a user's statistic or network, which may
    change without any change of its ``repr``.

    Args:
        value: any value; dataclasses, containers, partial functions and pytree structures are searched.
    """
    import jax

    if isinstance(value, jax.tree_util.PyTreeDef):
        parts = [value.node_data(), *value.children()]
    elif isinstance(value, functools.partial):
        parts = [value.func, value.args, value.keywords]
    elif isinstance(value, tuple | list | set | frozenset | Mapping):
        parts = [*value, *(value.values() if isinstance(value, Mapping) else ())]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    else:
        parts = []
    where = value if isinstance(value, type) or inspect.isroutine(value) else type(value)
    root = (getattr(where, "__module__", None) or "builtins").partition(".")[0]
    return (root in _LIBRARIES or root in sys.stdlib_module_names) and all(map(_is_library_code, parts))


def _find(folder: SealedFolder, key: Any, name: str, request: ProgramRequest) -> Any:
    """Return the program ``name`` from the cache, or compile it; ``jitted`` itself if it cannot be cached."""
    if not name:
        return request.jitted
    found = _load(folder, name)
    if found is None:
        return _make(folder, name, request)
    _untried.add(key)
    return found


def _folder() -> SealedFolder | None:
    """Return the cache; None if it is not enabled, or if this thread has another default device than JAX's first."""
    import jax

    device = default_device()
    return _kept["folder"] if device is None or device == jax.devices()[0] else None


def _is_plain(leaf: Any) -> bool:
    """Return True for a NumPy array or scalar, and for a JAX array on the first device that is not traced."""
    import jax
    import numpy as np

    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
        return leaf.sharding == jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return isinstance(leaf, np.ndarray | np.generic)


def _processor() -> list[str]:
    """Return facts that identify the processor: processors that differ in them may not run each other's code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return list(platform.uname())
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})


def jax_settings() -> str:
    """Return JAX's settings in this thread, without those of caches, platforms and the default device (:func:`_folder`)."""
    import jax

    values, others = jax.config.values, ("cache", "platforms", "default_device")
    return repr({name: values[name] for name in values if not any(other in name for other in others)})


@functools.cache
def _surroundings() -> str:
    """Return a description of the machine, the packages and XLA's flags, which are the same for a whole process."""
    import jax

    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    device = jax.devices()[0]
    facts = {
        "flags": [os.environ.get(name) for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        "packages": [(name, version(name)) for name in ("jax", "jaxlib", "jaxopt", "optax")],
        "machine": (_processor(), os.cpu_count(), device.platform, device.device_kind),
        "code": code.hexdigest(),
    }
    return repr(facts)


def _load(folder: SealedFolder, name: str) -> Any:
    """Load a program from the cache. Return None if there is none that this build of jaxlib can load."""
    from jax.experimental import serialize_executable

    content = folder.read(name)
    if content is None:
        return None
    try:
        # Both JAX's function and the pytree structures need pickles. These bytes were written by this user: `read` has
        # checked the keyed hash. A format without pickles would not be safer, because the program is machine code.
        needs_lapack, *program = pickle.loads(content)
        if needs_lapack:
            _initialize_lapack()
        return serialize_executable.deserialize_and_load(*program)
    except Exception:  # written by another build of jaxlib: the program is compiled again
        return None


@functools.cache
def _initialize_lapack() -> None:
    """Load LAPACK, by lowering a small decomposition. A cached program that calls LAPACK crashes otherwise."""
    import jax
    import jax.numpy as jnp

    jax.jit(jnp.linalg.eigh).lower(jax.ShapeDtypeStruct((2, 2), jnp.float32))


@contextlib.contextmanager
def _without_jax_cache() -> Iterator[None]:
    """Disable JAX's compilation cache during the block.

    A program that JAX has loaded from its cache loses its functions when it is serialized again (jaxlib 0.10.2).
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    def set_enabled(value: bool) -> None:
        jax.config.update("jax_enable_compilation_cache", value)
        compilation_cache.reset_cache()  # JAX reads the setting only once, until the cache is reset

    with _lock:
        if _quiet["depth"] == 0:
            _quiet["before"] = jax.config.values["jax_enable_compilation_cache"]
            set_enabled(False)
        _quiet["depth"] += 1
    try:
        yield
    finally:
        with _lock:
            _quiet["depth"] -= 1
            if _quiet["depth"] == 0:
                set_enabled(bool(_quiet["before"]))


def _options(optimize: bool) -> dict[str, int] | None:
    """Return the options of XLA's compiler."""
    import jax

    return None if optimize or jax.default_backend() != "cpu" else {"xla_backend_optimization_level": 0}


@functools.lru_cache(maxsize=256)
def _without_optimizations(jitted: Any, static: Any) -> Any:
    """Return ``jitted`` for one static argument, compiled without optimizations.

    All devices of a machine must compute the same bits, whether a program comes from the cache or not.
    """
    import jax

    return jax.jit(lambda *arguments: jitted(*arguments, static), compiler_options=_options(False))


def _make(folder: SealedFolder, name: str, request: ProgramRequest) -> Any:
    """Compile a program and store it in the cache."""
    from jax.experimental import serialize_executable

    with _without_jax_cache():
        lowered = request.jitted.lower(*request.arguments, request.static)
        program = lowered.compile(_options(request.optimize))
    # Some platforms cannot serialize programs, and a full disk must not stop the run.
    with contextlib.suppress(Exception):
        needs_lapack = "lapack_" in lowered.as_text()
        folder.write(name, pickle.dumps((needs_lapack, *serialize_executable.serialize(program))))
    return program
