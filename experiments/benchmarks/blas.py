"""Time of a decomposition with one and with all threads of OpenBLAS: ``python -m experiments.benchmarks.blas``.

Each measurement is a process of its own, with and without other processes: three for each core, which compute all the
time. It writes ``blas.json``.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from pathlib import Path

from nstjax.reports import environment

_MEASURE = """
import time
import jax, jax.numpy as jnp, numpy as np
activations = np.maximum(np.random.default_rng(0).normal(size=(3072, 320)), 0)
covariance = jnp.asarray(np.cov(activations.T)[None], jnp.float32)
eigh = jax.jit(jnp.linalg.eigh)
jax.block_until_ready(eigh(covariance))
for _ in range(9):
    began = time.perf_counter()
    jax.block_until_ready(eigh(covariance))
    print(time.perf_counter() - began)
"""


def _spin() -> None:
    while True:
        pass


def measure(threads: int) -> float:
    """Return the median seconds of a decomposition of 320×320."""
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], env=variables, check=True, capture_output=True, text=True
    )
    return statistics.median(map(float, done.stdout.split()))


def main() -> None:
    """Measure, print and write blas.json."""
    cores = os.cpu_count() or 1
    found = {}
    for busy in (False, True):
        others = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(3 * cores if busy else 0)]
        for other in others:
            other.start()
        for threads in (1, cores):
            name = f"{threads} threads, {'busy' if busy else 'idle'} cores"
            found[name] = measure(threads)
            print(f"{name}: {1000 * found[name]:.1f} ms", flush=True)
        for other in others:
            other.terminate()
    record = {"seconds": found, "environment": environment()}
    (Path(__file__).parent / "blas.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
