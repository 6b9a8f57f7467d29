"""Runs a notebook's code cells in order, without a kernel."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers.paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

# As a kernel: all cells in the namespace of __main__, the value of a last expression displayed.
_KERNEL = """
import ast, json, sys
cells, shown, namespace = json.load(sys.stdin), [], globals()
for number, source in enumerate(cells):
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace)
        if hasattr(value, "_repr_png_"):
            png = value._repr_png_()
            assert png.startswith(b"\\x89PNG")
            shown.append(number)
        elif value is not None:
            assert len(repr(value)) < 300, f"cell {number} prints {repr(value)[:300]}"
print("shown", json.dumps(shown))
"""


def read_notebook(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, each with ``cell_type``, ``source`` and, if it is code, ``outputs``."""
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells: list[dict[str, Any]] = notebook["cells"]
    return cells


def run_notebook(path: Path, folder: Path, size: int) -> list[int]:
    """Run the code cells in a process of their own.

    Args:
        path: the notebook.
        folder: the working folder.
        size: longer side of its pictures in pixels.

    Returns:
        The numbers of the code cells that display an image.
    """
    cells = ["".join(cell["source"]) for cell in read_notebook(path) if cell["cell_type"] == "code"]
    env = {**os.environ, "NSTJAX_NOTEBOOK_SIZE": str(size), "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _KERNEL],
        input=json.dumps(cells),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown: list[int] = json.loads(done.stdout.rpartition("shown ")[2])
    return shown
