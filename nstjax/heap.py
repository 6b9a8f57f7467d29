"""Keeps freed memory in the process (glibc's ``malloc``), which makes repeated evaluations faster."""

import ctypes
import functools
import mmap
import sys
import threading
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # from malloc.h
_MADV_DONTNEED = 4  # from sys/mman.h
_COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's event after each compilation
_LONG = 0.5  # seconds; shorter compilations leave few holes
_SMALLEST, _LARGEST = 2**13, 2**19  # bytes of the holes that are filled
_HEADER = ctypes.sizeof(ctypes.c_size_t)  # bytes between the usable parts of two blocks
_set = {"kept": False}  # True once the C library keeps freed memory
_filled: list[int] = []  # addresses of the blocks of fill_holes
_lock = threading.Lock()


def keep_freed_memory(fill: bool = True) -> bool:
    """Make the GNU C library keep freed memory in the process instead of returning it to the system.

    On a CPU, an XLA program allocates memory for its intermediate results each time it runs. By default glibc
    returns blocks of that size to the system in between, and the system has to map and clear every page again.
    For a program that runs thousands of times this takes up to half of the time
    (``python -m experiments.benchmarks.convolution``).

    A compilation leaves tens of thousands of free blocks between the objects that remain. All threads then wait for each
    other while one of them searches these blocks, and programs that ran after a long compilation took up to 1.4 times as
    long as in a process that loaded them from the cache (``python -m experiments.benchmarks.heap``). Therefore this
    function also calls :func:`fill_holes_after_compilations`.

    The cost is that the process stays as large as its peak, up to 2 GiB, and 0.2 s after a long compilation. Call this
    function before JAX starts its threads. Importing nstjax does not call it, because the process may hold other large data.

    Args:
        fill: False does not import JAX and does not fill holes; :func:`fill_holes_after_compilations` does so later.

    Returns:
        True if all settings were accepted; False on systems other than Linux and for other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26))
    done = [mallopt(parameter, value) == 1 for parameter, value in settings]
    _set["kept"] = all(done)
    if fill:
        fill_holes_after_compilations()
    return all(done)


def fill_holes_after_compilations() -> None:
    """Make JAX call :func:`fill_holes` after each compilation that is not short, if :func:`keep_freed_memory` was called."""
    if _set["kept"]:
        _listen()


def fill_holes() -> int:
    """Allocate the free blocks of 8 KiB to 512 KiB below the heap's end, and return their whole pages to the system.

    ``malloc`` keeps free blocks in lists by size and searches a list from one end. After this call the lists are short.
    Larger free blocks, which programs use for their results, and smaller ones stay free. The blocks stay allocated until the
    next call, which frees them before it starts, so that they can merge with blocks that were freed in the meantime.

    Returns:
        The number of filled blocks; 0 if the C library lacks a needed function.
    """
    libc = _library()
    if libc is None:
        return 0
    with _lock:
        while _filled:
            libc.free(_filled.pop())
        info = libc.mallinfo2()
        end: int = libc.sbrk(0) - info.keepcost  # behind it, memory has not been used yet
        left = size = info.fordblks - info.keepcost
        larger: list[int] = []
        rests = set[int]()  # where the rest of a larger free block begins
        # malloc returns the smallest free block that is large enough. From large to small, each block that it returns
        # from before the end is therefore part of a free block of at most 4/3 of the size, or a rest. Other threads may
        # move the end; `left` then limits what is allocated behind it.
        while size >= _SMALLEST and left > 0:
            block = libc.malloc(size)
            if block is None or block >= end:
                libc.free(block)
                size = size * 3 // 4
                continue
            left -= size
            if size > _LARGEST or block in rests:
                larger.append(block)
                rests.add(block + libc.malloc_usable_size(block) + _HEADER)
                continue
            _filled.append(block)
            first = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (block + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
            if length > 0:
                libc.madvise(first, length, _MADV_DONTNEED)
        for block in larger:
            libc.free(block)
        return len(_filled)


class _Information(ctypes.Structure):
    """``struct mallinfo2`` of malloc.h: ``fordblks`` are the free bytes, ``keepcost`` those at the heap's end."""

    _names = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names)


@functools.cache
def _library() -> Any:
    """Return the C library with the types of the functions; None if it is not glibc 2.33 or later."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _Information
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc_usable_size.restype = ctypes.c_size_t
    libc.sbrk.argtypes, libc.malloc.argtypes = (ctypes.c_ssize_t,), (ctypes.c_size_t,)
    libc.free.argtypes = libc.malloc_usable_size.argtypes = (ctypes.c_void_p,)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return libc


@functools.cache
def _listen() -> None:
    import jax

    def compiled(event: str, duration_secs: float, **_: Any) -> None:
        if event == _COMPILED and duration_secs > _LONG:
            fill_holes()

    jax.monitoring.register_event_duration_secs_listener(compiled)
