"""Limits the threads of OpenBLAS, which computes the matrix decompositions on a CPU."""

import os


def use_one_blas_thread() -> None:
    """Make OpenBLAS use one thread, unless the environment sets another number.

    JAX takes its decompositions on a CPU from SciPy's OpenBLAS. The matrices of nstjax have at most a few hundred
    rows, and more threads gain nothing for them. But the threads wait in a busy loop: if other processes use the
    cores, one decomposition takes seconds in place of milliseconds (``python -m experiments.benchmarks.blas``).

    Call this function before NumPy is imported, because OpenBLAS reads the setting when it is loaded. XLA's own threads
    are not affected.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
