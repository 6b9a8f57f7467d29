"""Loss against time, of nstjax and of the peer: a figure from results.json, ``python -m experiments.benchmarks.curves``."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent


def plot_curves(solve: dict[str, Any], path: Path) -> None:
    """Write the figure.

    Args:
        solve: of results.json: ``goal``, and ``curves`` by name, each a list of ``[seconds, loss]``.
        path: of the picture.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in solve["curves"].items():
        axes.plot(*zip(*points, strict=True), label=name, linestyle="--" if "PyTorch" in name else "-")
    axes.axhline(solve["goal"], color="grey", linewidth=0.7, label="PyTorch's after 60 iterations")
    axes.set(xlabel="seconds", ylabel="loss", yscale="log", xlim=(0, None))
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    plot_curves(
        json.loads((FOLDER / "results.json").read_text())["solve"],
        FOLDER / "figures" / "loss_against_time.png",
    )
