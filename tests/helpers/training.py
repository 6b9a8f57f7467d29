"""Shared parts of the tests of training: a tiny generator and feature network, and Python subprocesses."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig
from nstjax.losses import Objective
from nstjax.nn.student import init_student, make_student
from nstjax.training import TrainConfig
from tests.helpers.paths import ROOT

TINY = JohnsonConfig(width=0.125, residual_blocks=1, upsampling="nearest")
CONFIG = TrainConfig(
    steps=6,
    epsilon=1e-2,  # with a small ε, Adam turns rounding errors of zero gradients into full steps
    generator=TINY,
    objective=Objective(content_layers=("relu2_1",), style_layers=("relu1_1", "relu2_1")),
    data=DataConfig("fake:12", size=16, batch_size=4),
    style_size=16,
)
STYLE = np.random.default_rng(0).random((1, 24, 20, 3)).astype(np.float32)
NETWORK = make_student(
    init_student(
        jax.random.key(1), {"conv1_1": 4, "conv2_1": 6}, {"conv1_1": 4, "conv2_1": 5}, head_scale=1.0
    )
)


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same_bits(one: Any, other: Any) -> None:
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def free_port() -> int:
    """Return a TCP port that no process uses. Ports drawn at random met in two processes of one test run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    cache = str(Path(os.environ["NSTJAX_TEST_CACHE"]) / "xla")
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache} | environment
    env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
