"""Keeps freed memory in the process (glibc's mallopt), which makes repeated evaluations faster."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # of malloc.h


def keep_freed_memory() -> bool:
    """Have the C library keep the memory that the process has freed, for what it asks for next.

    A program of XLA takes its intermediate results' memory again each time it runs on a CPU, and the GNU C library
    gives blocks of that size back to the system in between; every page is then asked for and cleared again. Where a
    program runs thousands of times that takes up to half its time (``python -m experiments.benchmarks.convolution``).

    The price is that the process stays as large as it has been, up to 2 GiB. To be called before JAX starts its
    threads; a process that holds other large things should think twice, so that importing nstjax does not do it.

    Returns:
        Whether it was done; False where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26))
    done = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(done)
