"""A running server of the page, in a process of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.paths import ROOT


def _run_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Start ``nstjax web``; yield its address and the folder of its temporary files."""
    pytest.importorskip("gradio", reason="needs the extra web")
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    said = folder / "said.txt"  # not a pipe, which would block the server when it is full
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "nstjax", "web", "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
    try:
        deadline = time.monotonic() + 120
        while (found := re.search(r"http://\S+", said.read_text())) is None:
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield found[0], folder
    finally:
        process.terminate()
        process.wait(20)
    assert list(folder.glob("nstjax-web-*")) == []  # the temporary files are deleted at the end


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return the address and the folder of a server that all tests use."""
    yield from _run_server(tmp_path_factory.mktemp("web"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Return the address and the folder of a server that no other test uses."""
    yield from _run_server(tmp_path)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``photo.png`` (96×72), ``painting.png`` and a file that is no image, ``bad.png``."""
    folder = tmp_path_factory.mktemp("images")
    y, x = np.mgrid[0:72, 0:96]
    photo = np.stack([x * 2, y * 3, 128 + 100 * np.sin(x / 9) * np.cos(y / 7)], -1)
    Image.fromarray(photo.astype(np.uint8)).save(folder / "photo.png")
    blocks = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(blocks.repeat(6, 0).repeat(6, 1)).save(folder / "painting.png")
    (folder / "bad.png").write_bytes(b"this is not an image")
    return folder
