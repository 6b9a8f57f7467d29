"""Quality beside speed and bytes: ``python -m experiments.distill.frontier``, with the arguments of the training.

Students of several widths and depths are trained by one short schedule, scored on some of the unseen pairs, and
timed; each is also scored as it begins, pruned and not trained. Writes ``frontier.json`` and ``frontier.png``.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments import common
from experiments.benchmarks.embedded import speeds
from experiments.common import Lab
from experiments.distill.data import Pictures, read_pictures
from experiments.distill.prune import prune
from experiments.distill.recipe import Recipe
from experiments.distill.score import score, teacher_runs
from experiments.distill.teacher import find_directions
from experiments.distill.train import every_layer, export, kept_moments, split, train
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
CONTENTS, STYLES = ("golden_gate", "tubingen"), ("starry_night",)


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """What is trained, on what, and for how long."""

    photographs: Path = Path("photographs")
    """A folder of photographs."""
    paintings: tuple[Path, ...] = ()
    """Pictures of paintings."""
    steps: int = 250
    """Of each student."""


class _Trainer:
    """Students of one teacher and one set of pictures, whose second moments are measured once."""

    def __init__(self, lab: Lab, pictures: Pictures) -> None:
        self.lab, self.pictures, self.runs = lab, pictures, lab.out / "runs"

    def begun(self, name: str, recipe: Recipe) -> Backbone:
        """A student as it begins."""
        crops, _ = split(recipe, self.pictures)
        moments = kept_moments(
            self.runs / "frontier_moments.npz", self.lab.backbone, crops, every_layer(recipe)
        )
        directions = find_directions(moments, dict(zip(recipe.layers, recipe.heads, strict=True)))
        return export(prune(self.lab.backbone, moments, directions, recipe.widths), directions, name)

    def trained(self, name: str, recipe: Recipe) -> Backbone:
        """A student after its schedule."""
        folder = self.runs / f"frontier_{name}_{recipe.steps}"
        if recipe.pruned:
            folder.mkdir(exist_ok=True)
            shutil.copy(self.runs / "frontier_moments.npz", folder / "moments.npz")
        return train(recipe, self.lab.backbone, self.pictures, folder, name)


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
    pairs = teacher_runs(lab, CONTENTS, STYLES)
    points: dict[str, dict[str, Any]] = {}
    networks: dict[str, Backbone] = {}
    trainer = _Trainer(lab, read_pictures(arguments.photographs, arguments.paintings, Recipe().own_paintings))
    for name, shape in SHAPES.items():
        recipe = dataclasses.replace(shape, steps=arguments.steps)
        point: dict[str, Any] = {"channels": recipe.channels, "heads": recipe.heads}
        points[name] = point
        if recipe.pruned:
            point["pruned"] = score(lab, pairs, f"frontier_{name}_pruned", trainer.begun(name, recipe))
        networks[name] = trainer.trained(name, recipe)
        point["trained"] = score(lab, pairs, f"frontier_{name}", networks[name])
        point["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(networks[name].params))
        point["bytes"] = 2 * point["parameters"]
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
