"""Curves of a training from its log: ``python -m experiments.distill.curves``.

The command writes ``figures/curves.png``.
"""

import dataclasses
import json
from pathlib import Path

import tyro
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / "figures"


def curves(log: Path, path: Path) -> None:
    """Plot the errors in a log against the steps: one panel for activations and one for Gram matrices.

    Solid lines are errors on held-out photographs, dotted lines errors on the training batches. Both are for
    the first pooling of the recipe: max pooling, unless all batches use average pooling.

    Args:
        log: the file ``log.jsonl`` of a training.
        path: output file.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), ("features", "gram"), strict=True):
        for i, layer in enumerate(lines[0]["held_out"]):
            for source, style in (("held_out", "-"), ("trained", ":")):
                values = [line[source][layer][kind] for line in lines if line[source]]
                steps = [line["step"] for line in lines if line[source]]
                label = layer if source == "held_out" else None
                axes.plot(steps, values, style, color=f"C{i}", linewidth=1.2, label=label)
        axes.set(yscale="log", xlabel="step", title=f"error of {kind}")
    figure.axes[0].legend(fontsize="small", title="held out; dotted: trained on")
    figure.savefig(path, dpi=110)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    name: str = "embedded"
    """Name of the training's folder in figures/runs."""


if __name__ == "__main__":
    curves(FOLDER / "runs" / tyro.cli(Arguments).name / "log.jsonl", FOLDER / "curves.png")
