"""Plots loss against time from curves.json: ``python -m experiments.benchmarks.curves``."""

import json
from pathlib import Path

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
Curves = dict[str, list[list[float]]]
"""Lists of points ``[seconds, loss]`` by name."""


def write_curves(goal: float, curves: Curves) -> None:
    """Write the curves to curves.json, and plot them."""
    (FOLDER / "curves.json").write_text(json.dumps({"goal": goal, "curves": curves}) + "\n")
    plot_curves()


def plot_curves() -> None:
    """Write the figure from curves.json."""
    kept = json.loads((FOLDER / "curves.json").read_text())
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in kept["curves"].items():
        axes.plot(*zip(*points, strict=True), label=name, linestyle="--" if "PyTorch" in name else "-")
    axes.axhline(kept["goal"], color="gray", linewidth=0.7, label="PyTorch's after 60 iterations")
    axes.set(xlabel="seconds", ylabel="loss", yscale="log", xlim=(0, None))
    axes.legend(frameon=False)
    path = FOLDER / "figures" / "loss_against_time.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    plot_curves()
