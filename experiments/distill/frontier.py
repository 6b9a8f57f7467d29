"""Quality, speed and size of students of several shapes: ``python -m experiments.distill.frontier``.

The shapes differ in width and depth. All students are trained with one short schedule, from a start that is
fitted without transfers. Each is scored on two of the unseen pairs, after the fit and again after the
training, and timed. The command needs ``--photographs`` and ``--paintings`` as in the training, and
``--weights`` and ``--images`` as in the score. It writes ``frontier.json`` and ``frontier.png``.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import tyro

import nstjax
from experiments import common
from experiments.benchmarks.embedded import speeds
from experiments.common import Lab
from experiments.distill.data import Pictures, read_pictures
from experiments.distill.recipe import Recipe
from experiments.distill.score import score, teacher_runs
from experiments.distill.teacher import find_directions, mixed
from experiments.distill.train import every_layer, export, fitted_start, kept_moments, split, train
from nstjax.errors import one_of
from nstjax.files import folder_bytes
from nstjax.heap import keep_freed_memory
from nstjax.reports import environment
from nstjax.typing import Backbone
from nstjax.weights.store import save_backbone

SHAPES: dict[str, Recipe] = {
    "tiny": Recipe(channels=(8, 16, 16, 32, 32, 0, 0, 32, 64, 64, 0, 64, 64), heads=(8, 16, 32, 64, 64, 64)),
    "small": Recipe(
        channels=(16, 32, 32, 48, 80, 0, 0, 64, 96, 96, 0, 96, 128), heads=(16, 32, 80, 96, 96, 128)
    ),
    "default": Recipe(),
    "to relu4_2": Recipe(heads=(16, 48, 96, 160, 160, 0)),
    "every convolution": Recipe(channels=(16, 32, 48, 64, 80, 80, 80, 80, 192, 192, 192, 192, 320)),
    "large": Recipe(
        channels=(32, 64, 64, 96, 160, 0, 0, 160, 384, 384, 0, 384, 512), heads=(32, 64, 128, 256, 256, 384)
    ),
}
"""Recipes by name of the shape. Second moments are measured only at the convolutions of "every convolution",
so every shape must choose its convolutions from these."""
PAIRS = (("golden_gate", "starry_night"), ("tubingen", "starry_night"))


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    photographs: Path = Path("photographs")
    """Folder of photographs. The last 48 by name are held out."""
    paintings: tuple[Path, ...] = ()
    """Image files of paintings."""
    steps: int = 250
    """Training steps of each student."""
    shapes: tuple[str, ...] = tuple(SHAPES)
    """Names of the shapes; by default all."""


class _Trainer:
    """Fits and trainings of students of one teacher on one set of pictures.

    The teacher's second moments, the fitted students and the trainings are kept in ``runs/frontier_*``, and used
    again whenever they exist: delete them before a run with another teacher or other pictures.

    Args:
        lab: the teacher and the output folder.
        pictures: the pictures to train on.
    """

    def __init__(self, lab: Lab, pictures: Pictures) -> None:
        self.lab, self.pictures, self.runs = lab, pictures, lab.out / "runs"

    def begun(self, name: str, recipe: Recipe) -> Backbone:
        """Return a fitted student before its training, or the one that an earlier run stored.

        Args:
            name: name of the shape, used for the folder and as the description of the network's source.
            recipe: settings of the student.
        """
        store = self.runs / f"frontier_{name}_fitted"
        if store.exists():
            return nstjax.load_backbone(str(store))
        crops, _ = split(recipe, self.pictures)
        each = kept_moments(
            self.runs / "frontier_moments.npz",
            self.lab.backbone,
            crops,
            every_layer(SHAPES["every convolution"]),
            recipe.poolings,
        )
        moments = mixed(each, recipe.poolings)
        directions = find_directions(moments, recipe.directions)
        params = fitted_start(recipe, self.lab.backbone, crops, moments, directions)
        network = export(params, directions, name)
        save_backbone(network, store, eight_bit=True)
        return network

    def trained(self, name: str, recipe: Recipe) -> Backbone:
        """Return a student after its training. The method needs the moments that :meth:`begun` measures.

        Args:
            name: name of the shape, used for the folder and as the description of the network's source.
            recipe: settings of the training.
        """
        folder = self.runs / f"frontier_{name}_{recipe.steps}"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.runs / "frontier_moments.npz", folder / "moments.npz")
        return train(recipe, self.lab.backbone, self.pictures, folder, name)


def _bytes(network: Backbone, path: Path) -> int:
    """Write a network with 8-bit weights, like the shipped one, and return the total size of its files."""
    save_backbone(network, path, eight_bit=True)
    return folder_bytes(path)


def plot(path: Path, points: dict[str, dict[str, Any]]) -> None:
    """Plot the teacher-loss ratio against the speed. The area of a mark shows the size in bytes.

    Args:
        path: output file.
        points: entries by name of the shape, as in ``frontier.json``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, color, label in (("fitted", "tab:gray", "fitted alone"), ("trained", "tab:blue", "and trained")):
        for name, point in points.items():
            x, y = point["times_faster"], point[key]["mean"]
            axes.scatter(x, y, s=point["bytes"] / 2000, color=color, alpha=0.6, label=label)
            if key == "trained":
                text = f"{name}, {point['bytes'] / 1e6:.1f} MB"
                axes.annotate(text, (x, y), xytext=(16, 8), textcoords="offset points", fontsize=8)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    legend = axes.legend(unique.values(), unique.keys(), fontsize="small", loc="upper center")
    for handle in legend.legend_handles:
        handle.set_sizes([40.0])  # type: ignore[union-attr]
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="evaluations at 512², times faster than VGG-19",
        ylabel="teacher-loss ratio, mean",
    )
    axes.margins(0.15)
    axes.set_title("Small networks; the area of a mark is proportional to the bytes", fontsize=10)
    figure.savefig(path, dpi=110)


def main(arguments: Arguments) -> None:
    """Train, score and time the students of the shapes; write ``frontier.json`` and ``frontier.png``."""
    keep_freed_memory()  # as the command line of nstjax does; it changes the speeds
    for name in arguments.shapes:
        one_of("shapes", name, tuple(SHAPES))
    lab = Lab(arguments, Path(__file__).parent)
    pairs = list(teacher_runs(lab, PAIRS).values())
    points: dict[str, dict[str, Any]] = {}
    networks: dict[str, Backbone] = {}
    trainer = _Trainer(lab, read_pictures(arguments.photographs, arguments.paintings, Recipe().own_paintings))
    for name in arguments.shapes:
        recipe = dataclasses.replace(SHAPES[name], steps=arguments.steps, fit_batches=64, refits=0)
        point: dict[str, Any] = {"channels": recipe.channels, "heads": recipe.heads}
        points[name] = point
        point["fitted"] = score(lab, pairs, f"frontier_{name}_fitted", trainer.begun(name, recipe))
        networks[name] = trainer.trained(name, recipe)
        point["trained"] = score(lab, pairs, f"frontier_{name}", networks[name])
        point["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(networks[name].params))
        point["bytes"] = _bytes(networks[name], trainer.runs / f"frontier_{name}_network")
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
