"""Free blocks of the C library's heap, in processes of their own."""

import mmap
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc of the GNU C library")

HOLES = """
import ctypes, sys
import numpy as np
from nstjax import heap

libc = heap._library()
if libc is None:
    print("no mallinfo2")
    sys.exit()
assert heap.keep_freed_memory(fill=False)
assert "jax" not in sys.modules
sizes = np.random.default_rng(0).integers(10_000, 60_000, 6_000)
blocks = [libc.malloc(int(size)) for size in sizes]
for block, size in zip(blocks, sizes):
    ctypes.memset(block, block % 251, int(size))
for block in blocks[::2]:
    libc.free(block)
"""

RESIDENT = """
import mmap
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE / 2**20
"""


def lines(script: str) -> list[str]:
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    if made.stdout == "no mallinfo2\n":
        pytest.skip("the C library has no mallinfo2")
    return made.stdout.splitlines()


def test_holes_are_filled_once_and_no_other_memory_changes() -> None:
    script = f"""{HOLES}{RESIDENT}
before = resident()
first, second = heap.fill_holes(), heap.fill_holes()
print(first, second, before - resident())
for block, size in list(zip(blocks, sizes))[1::2]:
    assert ctypes.string_at(block, int(size)) == bytes([block % 251]) * int(size)
end = libc.sbrk(0) - libc.mallinfo2().keepcost
print(sum(libc.malloc(int(size)) < end for size in sizes[::2]))
"""
    counts, reused = lines(script)
    first, second, returned = map(float, counts.split())
    assert first >= 3_000
    assert 0.9 * first < second < 1.1 * first  # the second call frees the blocks and fills the same holes
    if mmap.PAGESIZE == 4096:
        assert returned > 0.6 * 3_000 * 35_000 / 2**20  # all whole pages of the holes, of 35 kB in the mean
    assert int(reused) < 100  # a block of the same size is not found between the others again


def test_large_holes_stay_whole_however_often_holes_are_filled() -> None:
    script = f"""{HOLES}
sizes = (50_000_000, 3_000_000, 700_000)
holes = []
for size in sizes:
    holes.append(libc.malloc(size))
    libc.malloc(400_000)  # no hole is as large, so it lies behind the block
for hole in holes:
    libc.free(hole)
for _ in range(3):
    assert heap.fill_holes() >= 3_000
print(*(libc.malloc(size) == hole for size, hole in zip(sizes, holes)))
"""
    assert lines(script) == ["True True True"]


def test_jax_reports_long_compilations_to_the_heap() -> None:
    script = """
from nstjax import heap
heap._LONG = 0.0
calls = []
heap.fill_holes = lambda: calls.append(1)
heap.fill_holes_after_compilations()  # nothing is kept yet
import jax, jax.numpy as jnp
jax.jit(lambda x: x + 1)(jnp.ones(3))
x, before = jnp.ones(3), len(calls)
heap.keep_freed_memory()
jax.jit(lambda x: x + 2)(x)
once = len(calls)
heap.keep_freed_memory()  # registers nothing again
jax.jit(lambda x: x + 3)(x)
twice = len(calls)
heap._LONG = 1e9
jax.jit(lambda x: x + 4)(x)
print(before, once, twice, len(calls))
"""
    assert lines(script) == ["0 1 2 2"]
