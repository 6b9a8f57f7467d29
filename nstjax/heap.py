"""Keeps freed memory in the process (glibc's ``mallopt``), which makes repeated evaluations faster."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # from malloc.h


def keep_freed_memory() -> bool:
    """Make the GNU C library keep freed memory in the process instead of returning it to the system.

    On a CPU, an XLA program allocates memory for its intermediate results each time it runs. By default glibc
    returns blocks of that size to the system in between, and the system has to map and clear every page again.
    For a program that runs thousands of times this takes up to half of the time
    (``python -m experiments.benchmarks.heap``).

    The cost is that the process stays as large as its peak, up to 2 GiB. Call this function before JAX starts its
    threads. Importing nstjax does not call it, because the process may hold other large data.

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
    return all(done)
