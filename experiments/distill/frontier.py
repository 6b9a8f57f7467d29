"""Quality beside speed and bytes: ``python -m experiments.distill.frontier``, with the arguments of the training.

Students of several widths and depths are trained by one short schedule, scored on some of the unseen pairs, and
timed; each is also scored as it begins, pruned and not trained. Writes ``frontier.json`` and ``frontier.png``.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments import common
from experiments.benchmarks.embedded import speeds
from experiments.common import Lab
from experiments.distill.data import Pictures, read_pictures
from experiments.distill.recipe import Recipe
from experiments.distill.score import score, teacher_runs
from experiments.distill.train import train
from nstjax.reports import environment
from nstjax.typing import Backbone

SHAPES: dict[str, Recipe] = {
    "tiny": Recipe(channels=(8, 8, 16, 16, 32, 32), heads=(8, 16, 32, 32)),
    "small": Recipe(channels=(16, 16, 32, 32, 64, 64), heads=(16, 32, 64, 64)),
    "medium": Recipe(channels=(16, 16, 48, 48, 96, 96), heads=(16, 48, 96, 96)),
    "default": Recipe(),
    "large": Recipe(channels=(24, 32, 64, 80, 160, 160), heads=(24, 64, 128, 128)),
    # Without the second convolutions of blocks 1 and 2: nothing to prune, so it begins at random, and learns
    # by larger steps.
    "shallow": Recipe(channels=(16, 0, 64, 0, 128, 128), pruned=False, learning_rate=2e-3),
}
STYLES = ("starry_night",)


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """What is trained, on what, and for how long."""

    photographs: Path = Path("photographs")
    """A folder of photographs."""
    paintings: tuple[Path, ...] = ()
    """Pictures of paintings."""
    steps: int = 400
    """Of each student."""


def _student(name: str, recipe: Recipe, lab: Lab, pictures: Pictures) -> Backbone:
    return train(recipe, lab.backbone, pictures, lab.out / "runs" / f"frontier_{name}_{recipe.steps}", name)


def plot(path: Path, points: dict[str, dict[str, Any]]) -> None:
    """Ratio against speed, the area of a mark being the bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, color, label in (("pruned", "tab:gray", "pruned alone"), ("trained", "tab:blue", "and trained")):
        for name, point in points.items():
            if key not in point:
                continue
            x, y = point["times_faster"], point[key]["mean"]
            axes.scatter(x, y, s=point["bytes"] / 2000, color=color, alpha=0.6, label=label)
            axes.annotate(name, (x, y), xytext=(6, 5), textcoords="offset points", fontsize=8)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), fontsize="small")
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="evaluations at 512², times faster than VGG-19 to conv3_4",
        ylabel="teacher-loss ratio, mean",
        yscale="log",
    )
    axes.set_title("Small networks; the area is that of the bytes", fontsize=10)
    figure.savefig(path, dpi=110)


def main(arguments: Arguments) -> None:
    """Train, score, time, plot."""
    lab = Lab(arguments, Path(__file__).parent)
    pairs = teacher_runs(lab, STYLES)
    points: dict[str, dict[str, Any]] = {}
    networks: dict[str, Backbone] = {}
    for name, shape in SHAPES.items():
        recipe = dataclasses.replace(shape, steps=arguments.steps)
        pictures = read_pictures(arguments.photographs, arguments.paintings, recipe.own_paintings)
        networks[name] = _student(name, recipe, lab, pictures)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(networks[name].params))
        points[name] = {
            "channels": recipe.channels,
            "heads": recipe.heads,
            "parameters": parameters,
            "bytes": 2 * parameters,
        }
        points[name]["trained"] = score(lab, pairs, f"frontier_{name}", networks[name])
        if recipe.pruned:
            begun = _student(name, dataclasses.replace(recipe, steps=0), lab, pictures)
            points[name]["pruned"] = score(lab, pairs, f"frontier_{name}_pruned", begun)
    timed = speeds(lab.backbone, networks, 512, 9)
    for name in networks:
        points[name]["times_faster"] = timed["times_faster"][name]
    plot(lab.out / "frontier.png", points)
    found = {
        "steps": arguments.steps,
        "points": points,
        "seconds": timed["seconds"],
        "environment": environment(),
    }
    (lab.out / "frontier.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
