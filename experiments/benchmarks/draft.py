"""Time to the loss of a plain transfer, with and without a draft: ``python -m experiments.benchmarks.draft``.

For each pair, 300 iterations of L-BFGS with VGG-19 at the size of the result reach a loss. The other methods have the
same objective at the end, and are stopped when they reach this loss: a pyramid of scales, and drafts with the embedded
network. All clocks start after the programs are compiled, because a first short run compiles them, and include the
computation of the targets. It needs ``--weights`` with VGG-19 and ``--images``, and writes ``draft.json`` and
``figures/draft.jpg``.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure

import nstjax
from experiments import common
from experiments.common import Lab, fit
from experiments.distill.score import photograph
from nstjax import TransferConfig
from nstjax.optim import Lbfgs
from nstjax.programs import enable_compilation_cache
from nstjax.reports import contact_sheet, environment
from nstjax.typing import Backbone

PAIRS = (
    ("golden_gate", "starry_night"),
    ("tubingen", "wheatfield"),
    ("timber_houses", "great_wave"),
    ("chelsea", "woman_with_hat"),
    ("coffee", "shipwreck"),
    ("astronaut", "the_scream"),
)


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    pairs: int = 6
    """Number of pairs."""
    size: int = 512
    """Longer side of the results in pixels."""
    iterations: int = 300
    """Iterations of the plain transfer."""
    drafts: tuple[int, ...] = (100,)
    """Numbers of iterations of drafts at each scale."""
    pyramid: bool = False
    """Also measure the pyramid of scales without a draft."""


def run(
    photo: np.ndarray,
    style: np.ndarray,
    network: Backbone,
    config: TransferConfig,
    draft: Backbone | None,
    goal: float,
) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Run a transfer until the last stage reaches ``goal``.

    Returns:
        The image, and seconds, loss and stage of each iteration.
    """
    last = len(config.stages()) - 1

    def reached(progress: Any) -> bool:
        return bool(progress.entry.scale == last and progress.entry.loss <= goal)

    found = nstjax.transfer(
        photo, style, network, config, reached, draft_backbone=draft if config.draft else None
    )
    return found.image, [(entry.seconds, entry.loss, entry.scale) for entry in found.history]


def main(arguments: Arguments) -> None:
    """Measure all pairs."""
    enable_compilation_cache()
    folder = Path(__file__).parent
    lab = Lab(arguments, folder)
    embedded = nstjax.load_backbone("embedded")
    size, count = arguments.size, arguments.iterations
    plain = TransferConfig(size=size, scales=(size,), optimizer=Lbfgs(iterations=count))
    methods = {
        f"draft {n}": TransferConfig(size=size, draft=n, optimizer=Lbfgs(iterations=count))
        for n in arguments.drafts
    }
    if arguments.pyramid:
        methods["pyramid"] = TransferConfig(size=size, iterations=(100, 100, count), optimizer=Lbfgs())
    pairs: dict[str, Any] = {}
    rows = []
    for photo_name, style_name in PAIRS[: arguments.pairs]:
        photo, style = fit(photograph(lab, photo_name), size), lab.picture("style", style_name)
        entry: dict[str, Any] = {}
        pictures = {}
        goal = float("-inf")
        for name, config in {"plain": plain, **methods}.items():
            brief = dataclasses.replace(config, iterations=(1,), draft=min(config.draft, 1))
            run(photo, style, lab.backbone, brief, embedded, float("-inf"))
            pictures[name], history = run(photo, style, lab.backbone, config, embedded, goal)
            if name == "plain":
                goal = history[-1][1]
            entry[name] = {
                "seconds": round(history[-1][0], 2),
                "loss": history[-1][1],
                "reached": history[-1][1] <= goal,
                "iterations": [sum(h[2] == stage for h in history) for stage in range(history[-1][2] + 1)],
                "curve": [
                    (round(seconds, 2), loss) for seconds, loss, stage in history if stage == history[-1][2]
                ],
            }
        ratios = {name: round(of["seconds"] / entry["plain"]["seconds"], 3) for name, of in entry.items()}
        pairs[f"{photo_name}_{style_name}"] = entry
        print(
            photo_name,
            style_name,
            ratios,
            {n: (round(of["loss"], 3), of["iterations"]) for n, of in entry.items()},
            flush=True,
        )
        rows.append([(style, style_name), *((image, name) for name, image in pictures.items())])
        names = [name for name in entry if name != "plain"]
        mean = {
            name: float(np.mean([of[name]["seconds"] / of["plain"]["seconds"] for of in pairs.values()]))
            for name in names
        }
        worst = {
            name: max(of[name]["seconds"] / of["plain"]["seconds"] for of in pairs.values()) for name in names
        }
        record = {"mean": mean, "worst": worst, "pairs": pairs, "environment": environment()}
        (folder / "draft.json").write_text(json.dumps(record, indent=1))
    print("mean", mean, "worst", worst)
    contact_sheet(folder / "figures" / "draft.jpg", rows, cell=3.4)
    plot(pairs, folder / "figures" / "draft_curves.png")


def plot(pairs: dict[str, Any], path: Path) -> None:
    """Plot loss against time of each pair."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (name, entry) in zip(np.ravel(figure.subplots(2, 3)), pairs.items(), strict=False):
        for method, of in entry.items():
            axes.plot(*zip(*of["curve"], strict=True), label=method)
        axes.axhline(entry["plain"]["loss"], color="grey", linewidth=0.7)
        axes.set(title=name, xlabel="seconds", yscale="log")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
