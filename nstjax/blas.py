"""Limits the threads of OpenBLAS, which computes the matrix decompositions on a CPU."""

import os


def use_one_blas_thread() -> None:
    """Make OpenBLAS use one thread, unless the environment sets another number.

    On a CPU, JAX computes matrix decompositions with SciPy's OpenBLAS, and NumPy has an OpenBLAS of its own. More threads do
    not speed up matrices of a few hundred rows. Waiting threads spin, so on a busy machine a decomposition takes many times longer
    (``python -m experiments.benchmarks.blas``).

    Call this before NumPy or SciPy is imported, because OpenBLAS reads the setting when it is loaded. XLA's own threads are
    not affected.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
