"""The Stanford poster's future work: ``python -m experiments.realtime --photographs DIR --images DIR``.

"Implement a real-time style transfer algorithm and compare its performance with Gatys method": four methods that stylize
a photograph in one pass are compared with per-image optimization, on photographs that were not used for training. Two
come with nstjax: the decoder for any style, and ``gallery``. Two are trained here: Johnson's network from the weights of
``gallery``, as the preset ``quick`` does, and Ulyanov's from random weights. All are judged by the default objective of
the optimization. Measures: the loss over time, the number of iterations that one pass is worth, the number of iterations
it saves as a starting point, and the number of images after which a training has paid off. Run time: about 40 minutes on
2 cores, most of it for two training runs, which are cached in figures/runs; ``--full`` needs a GPU.
"""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure

from experiments.programs import keep_programs
from experiments.realtime import settings
from experiments.realtime.measures import at_time, loss_of, pictures_to_pay, seconds_of
from experiments.realtime.settings import FROM_PICTURE, MARKS, Race, RaceArguments, per_image
from experiments.trained import caption_of
from nstjax.reports import Cell, contact_sheet

PAINTINGS = ("starry_night",)
SHOWN = (10, 50, 200)
GOALS = (
    20,
    50,
    100,
)  # iterations from the photograph; measured: how many from a generator's image reach the same loss


def geometric(values: Any) -> float:
    """Return the geometric mean, for losses that differ by factors."""
    return float(np.exp(np.mean(np.log(list(values)))))


def compare(lab: Race, painting: str) -> dict[str, Any]:
    """Apply all methods to the photographs, for one painting.

    Returns:
        ``{"style": …, "photos": {name: …}, "methods": {name: …}}``.
    """
    style = lab.picture("style", painting)
    methods = lab.methods(painting)
    found: dict[str, Any] = {}
    for name, photo in lab.photos.items():
        loss = loss_of(per_image(), lab.backbone, photo, style)
        plain = lab.descent(f"{painting}_{name}", photo, style, None)
        found[name] = {"photo": photo, "plain": plain, "methods": {}}
        for kind, method in methods.items():
            image = method.paint(photo)
            found[name]["methods"][kind] = {
                "image": image,
                "loss": loss(image),
                "seconds": seconds_of(lambda m=method, p=photo: m.paint(p)),  # type: ignore[misc]
                "onward": lab.descent(
                    f"{painting}_{name}_from_{kind.replace(' ', '_')}", photo, style, image
                ),
            }
    return {"style": style, "photos": found, "methods": methods}


def numbers(lab: Race, painting: str, found: dict[str, Any]) -> None:
    """Record the measures of one painting in ``results.json``."""
    photos = found["photos"]
    lab.note(
        f"{painting}: per-image loss (geometric mean) and seconds (mean) by iteration",
        {
            str(i): [
                round(
                    geometric(p["plain"].losses[min(i, len(p["plain"].losses) - 1)] for p in photos.values()),
                    4,
                ),
                round(
                    float(
                        np.mean(
                            [p["plain"].seconds[min(i, len(p["plain"].seconds) - 1)] for p in photos.values()]
                        )
                    ),
                    3,
                ),
            ]
            for i in (0, *(m for m in MARKS if m <= settings.ITERATIONS))
        },
    )
    for kind, method in found["methods"].items():
        mine = {name: p["methods"][kind] for name, p in photos.items()}
        equal = {name: p["plain"].reaches(mine[name]["loss"]) for name, p in photos.items()}
        worth = [i for i in equal.values() if i is not None]
        seconds = float(np.mean([g["seconds"] for g in mine.values()]))
        # If the optimization does not reach the generator's loss, all of its iterations are counted.
        otherwise = float(
            np.mean(
                [p["plain"].seconds[-1 if equal[name] is None else equal[name]] for name, p in photos.items()]
            )
        )
        cost = method.training_seconds
        pays = math.inf if cost is None else pictures_to_pay(cost, seconds, otherwise)
        saved = {}
        for goal in (goal for goal in GOALS if goal < settings.ITERATIONS):
            reached = [
                mine[name]["onward"].reaches(p["plain"].losses[min(goal, len(p["plain"].losses) - 1)])
                for name, p in photos.items()
            ]
            saved[f"as good as {goal} from the photograph"] = reached
        lab.note(
            f"{painting}, {kind}",
            {
                "loss": {name: round(g["loss"], 4) for name, g in mine.items()},
                "loss_geometric_mean": round(geometric(g["loss"] for g in mine.values()), 4),
                "seconds": round(seconds, 4),
                "worth_iterations": equal,
                "worth_iterations_median": float(np.median(worth)) if worth else None,
                "seconds_of_as_many_iterations": round(otherwise, 3),
                "faster_by": round(otherwise / seconds, 1),
                "loss_of_the_optimization_in_the_same_time": round(
                    geometric(at_time(p["plain"], mine[name]["seconds"]) for name, p in photos.items()), 4
                ),
                "training_seconds": None if cost is None else round(cost, 1),
                "training_pays_after_pictures": round(pays, 1) if math.isfinite(pays) else None,
                "iterations_from_its_picture": saved,
            },
        )


def plot(lab: Race, everything: dict[str, dict[str, Any]]) -> None:
    """Plot the loss, relative to that of the photograph, against seconds."""
    figure = Figure(figsize=(5.6 * len(everything), 4.6), layout="constrained")
    panels = figure.subplots(1, len(everything), squeeze=False)[0]
    styles = {
        "any style": ("C4", "^"),
        "gallery": ("C3", "D"),
        "johnson": ("C1", "o"),
        "ulyanov": ("C2", "s"),
    }
    for axes, (painting, found) in zip(panels, everything.items(), strict=True):
        for number, p in enumerate(found["photos"].values()):
            whole = p["plain"].losses[0]
            label = "per image, from the photograph" if number == 0 else None
            shares = np.array(p["plain"].losses[1:]) / whole
            axes.plot(p["plain"].seconds[1:], shares, color="C0", linewidth=0.9, label=label)
            for kind, g in p["methods"].items():
                onward, (color, mark) = g["onward"], styles[kind]
                axes.plot(
                    np.array(onward.seconds) + g["seconds"],
                    np.array(onward.losses) / whole,
                    ":",
                    color=color,
                    linewidth=0.9,
                    label=f"per image, from the picture of {kind}" if number == 0 else None,
                )
                axes.plot(
                    g["seconds"],
                    g["loss"] / whole,
                    mark,
                    color=color,
                    markeredgecolor="black",
                    label=f"{kind}, one pass" if number == 0 else None,
                )
        axes.set(xscale="log", yscale="log", xlabel="seconds a picture", title=painting)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("loss over that of the photograph")
    panels[0].legend(fontsize="small")
    device = jax.devices()[0].device_kind
    figure.suptitle(f"{settings.SIDE} px on {device}; a line and four marks for each photograph", fontsize=9)
    figure.savefig(lab.out / "loss_over_seconds.png", dpi=110)


def sheet(lab: Race, painting: str, found: dict[str, Any]) -> None:
    """Make a sheet that compares the methods for one painting."""
    rows: list[list[Cell]] = []
    for p in found["photos"].values():
        plain = p["plain"]
        row: list[Cell] = [(p["photo"], f"photograph: {plain.losses[0]:.2f}")]
        for kind, g in p["methods"].items():
            row.append((g["image"], f"{kind}: {g['loss']:.2f}, {1000 * g['seconds']:.0f} ms"))
        for i in SHOWN:
            if i in plain.pictures:
                row.append(
                    (plain.pictures[i], f"{i} iterations: {plain.losses[i]:.2f}, {plain.seconds[i]:.1f} s")
                )
        kind, g = next(iter(p["methods"].items()))
        if FROM_PICTURE in g["onward"].pictures:
            image = g["onward"].pictures[FROM_PICTURE]
            row.append((image, f"{kind} + {FROM_PICTURE} iterations: {g['onward'].losses[FROM_PICTURE]:.2f}"))
        rows.append(row)
    trained = (method.training_config for method in found["methods"].values())
    captions = [caption_of(config, lab).splitlines()[-1] for config in trained if config is not None]
    title = f"{painting}: loss and time; {lab.backbone.arch}, {lab.backbone.source}\n" + "\n".join(captions)
    contact_sheet(lab.out / f"{painting}.jpg", rows, title, cell=2.2)


def main() -> None:
    """Train the generators, apply all methods, and compare them."""
    keep_programs()  # most training runs share one compiled program
    lab = Race(tyro.cli(RaceArguments, description=__doc__))
    lab.refuse_figures()
    lab.note("photographs", {"trained_on": len(list(Path(lab.source).iterdir())), "judged": list(lab.photos)})
    everything = {}
    for painting in PAINTINGS:
        everything[painting] = compare(lab, painting)
        numbers(lab, painting, everything[painting])
        sheet(lab, painting, everything[painting])
        lab.finish()
    plot(lab, everything)
    lab.finish()


if __name__ == "__main__":
    main()
