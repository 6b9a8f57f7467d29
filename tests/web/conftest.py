"""A running server of the page, in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.paths import ROOT


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start ``nstjax web``; return its address and the folder of its temporary files."""
    pytest.importorskip("gradio", reason="needs the extra web")
    folder = tmp_path_factory.mktemp("web")
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "nstjax", "web", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stdout.read()
        yield found[0], folder
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert list(folder.glob("nstjax-web-*")) == []  # the temporary files are deleted at the end


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
