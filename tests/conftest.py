"""Fixtures: small feature networks, images, and a cache separate from the user's."""

# ruff: noqa: E402  # OpenBLAS reads its setting when NumPy is imported
from nstjax.blas import use_one_blas_thread

use_one_blas_thread()

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytest

from nstjax.programs import enable_compilation_cache
from nstjax.typing import Backbone
from tests.helpers.networks import random_backbone
from tests.helpers.paths import REAL_WEIGHTS, SHARED


@pytest.fixture(scope="session")
def small() -> Backbone:
    """VGG-19 up to conv2_1, with random weights."""
    return random_backbone(convs=3)


@pytest.fixture
def x64() -> Iterator[None]:
    """Enable double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """A smooth image as photograph and a busy one as painting, ``(1, h, w, 3)`` float32."""
    y, x = np.mgrid[0:48, 0:64] / 64.0
    content = np.stack([x, y, 0.5 + 0.5 * np.sin(6 * x * y)], -1)[None]
    rng = np.random.default_rng(1)
    blocks = rng.uniform(size=(1, 14, 12, 3)).repeat(4, 1).repeat(4, 2)
    return content.astype(np.float32), blocks.astype(np.float32)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", default="0/1", help="K/N: run every N-th of the selected tests, from number K on"
    )


@pytest.hookimpl(trylast=True)  # after the selection by -m and -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part of the tests that ``--part`` selects."""
    first, step = map(int, config.getoption("part").split("/"))
    chosen = items[first::step]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for i, item in enumerate(items) if i % step != first])
        items[:] = chosen


def pytest_configure(config: pytest.Config) -> None:
    """Use one cache for the whole test run, so that each program is compiled once for all processes."""
    if "NSTJAX_TEST_CACHE" not in os.environ:  # set in the first process, inherited by pytest-xdist's workers
        folder = tempfile.mkdtemp(prefix="nstjax-tests-")
        os.environ["NSTJAX_TEST_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        config.add_cleanup(lambda: os.environ.pop("NSTJAX_TEST_CACHE"))
    os.environ["NSTJAX_CACHE"] = os.environ["NSTJAX_TEST_CACHE"]
    os.environ["NSTJAX_STATE"] = os.path.join(os.environ["NSTJAX_TEST_CACHE"], "state")
    if "not toy" in config.getoption("markexpr") and jaxlib.__version__.startswith("0.10."):
        # The older code generator saves two fifths of the time. Later releases do not have it.
        quick = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {quick}"
    enable_compilation_cache()
    _optimize(False)


def _optimize(how: bool) -> None:
    """Turn XLA's optimizations on or off. Most test programs are so small that compiling them dominates."""
    jax.config.update("jax_disable_most_optimizations", not how)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(not how))  # for processes that tests start


@pytest.fixture(autouse=True)
def _optimized_where_it_is_slow(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run tests against PyTorch, whole experiments, and tests marked ``optimized`` as users run their programs."""
    how = any(request.node.get_closest_marker(name) for name in ("optimized", "toy", "torch"))
    _optimize(how)
    yield
    _optimize(False)


@pytest.fixture(autouse=True)
def _own_random_numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset a module's generator ``RNG``, so that a test does not depend on the tests before it."""
    if hasattr(request.module, "RNG"):
        monkeypatch.setattr(request.module, "RNG", np.random.default_rng(1))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's cache."""
    monkeypatch.setenv("NSTJAX_CACHE", os.environ["NSTJAX_TEST_CACHE"])


@pytest.fixture
def shared() -> Path:
    """The folder of the material beside the checkout; the test is skipped if it does not exist."""
    if not REAL_WEIGHTS.exists():
        pytest.skip(f"{SHARED} is not here")
    return SHARED
