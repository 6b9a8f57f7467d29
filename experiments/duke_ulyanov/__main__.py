"""The Duke report, Ulyanov's method: ``python -m experiments.duke_ulyanov --photographs DIR --images DIR``.

A generator is trained on 18 photographs, each resized to a square, with Adam at a learning rate of 0.1 and
batch size 1 (section 2.4, appendix C). The report trains for 600 epochs at 256 pixels, which is 10,800 steps
(``--full``). The default, for 2 cores, is 55 epochs at 256 pixels. Run time: about an hour for 8
training runs. They are cached in figures/runs, and an interrupted run is resumed.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure

from experiments.common import complexity
from experiments.duke_ulyanov import settings
from experiments.duke_ulyanov.measures import (
    coarse_correlation,
    detail_kept,
    histogram_distance,
    own_statistics,
    sample_distance,
)
from experiments.duke_ulyanov.settings import RATE, STARRY, Duke, painted
from experiments.programs import keep_programs
from experiments.trained import TrainArguments
from nstjax.generators import UlyanovConfig
from nstjax.generators.plan import NormKind
from nstjax.inference import stylize
from nstjax.reports import Cell, contact_sheet
from nstjax.training import TRAIN_PRESETS

NOISES = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
NORMS: tuple[NormKind, ...] = ("batch", "instance")


def norms(lab: Duke) -> None:
    """Compare the report's learning rate with a smaller, decaying one, and batch with instance normalization.

    This figure is not in the report.
    """
    photo, style = lab.photo("golden_gate"), lab.painting(STARRY)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rows: list[list[Cell]] = []
    found: dict[str, dict[str, float]] = {}
    for reported, course in ((True, "0.1 throughout"), (False, f"{RATE:g}, falling")):
        row: list[Cell] = [(photo, "photograph") if reported else (style, STARRY)]
        for norm in NORMS:
            trained = lab.trained(STARRY, norm=norm, reported=reported)
            plan = f"{course}, {trained.config.steps} steps"
            axes.plot(
                [line["step"] for line in trained.lines],
                [line["loss"] for line in trained.lines],
                ":" if reported else "-",
                color="C0" if norm == "batch" else "C1",
                label=f"{norm}, {plan}",
            )
            pictures = {f"{norm}, {plan}": painted(trained, photo)}
            if norm == "batch" and trained.generator is not None:
                mine = own_statistics(trained.generator, photo)
                pictures[f"{norm}, {plan},\nthe picture's own statistics"] = mine
            for name, image in pictures.items():
                losses = lab.losses_of(trained.config, style, image, photo)
                plain = name.replace("\n", " ")
                found[plain] = {
                    **{kind: round(value, 4) for kind, value in losses.items()},
                    "detail_kept": round(detail_kept(image, photo), 3),
                    "final_training_loss": round(trained.final_loss, 4),
                }
                row.append((image, f"{name}\ncontent {losses['content']:.2f}, style {losses['style']:.4f}"))
        rows.append(row)
    lab.note("norms", found)
    axes.set(yscale="log", xlabel="step", ylabel="loss in training")
    axes.legend(fontsize="small")
    figure.savefig(lab.out / "rates.png", dpi=110)
    contact_sheet(lab.out / "norms.jpg", rows, f"Norm and learning rate — {lab.caption(trained)}")


def figure_2(lab: Duke) -> None:
    """Make Fig. 2: a good and a bad style, Starry Night and a night sky in which the content disappears."""
    photo = lab.photo("golden_gate")
    first: list[Cell] = [(None, "styles:")]
    second: list[Cell] = [(photo, "photograph")]
    found = {}
    for name, verdict in ((STARRY, "good"), ("night_sky", "bad")):
        style, trained = lab.painting(name), lab.trained(name)
        image = painted(trained, photo)
        kept = detail_kept(image, photo)
        losses = lab.losses_of(trained.config, style, image, photo)
        first.append((style, name))
        second.append((image, f"{verdict}: detail kept {kept:.2f}, content lost {losses['content']:.2f}"))
        found[name] = {
            "detail_kept": round(kept, 3),
            "content_lost": round(losses["content"], 3),
            "contrast": round(float(image.std() / photo.std()), 3),
        }
    lab.note("fig2", found)
    contact_sheet(lab.out / "figure_2.jpg", [first, second], f"Duke Fig. 2 — {lab.caption(trained)}")


def figure_4(lab: Duke) -> None:
    """Make Fig. 4: the most complex and the least complex photograph, each with such a painting."""
    ranked = {
        kind: sorted(lab.names(kind), key=lambda n: complexity(lab.picture(kind, n)))
        for kind in ("content", "style")
    }
    rows: list[list[Cell]] = []
    for which, index in (("complex", -1), ("simple", 0)):
        names = {kind: ranked[kind][index] for kind in ranked}
        photo, style = lab.photo(names["content"]), lab.painting(names["style"])
        trained = lab.trained(names["style"])
        image = painted(trained, photo)
        losses = lab.losses_of(trained.config, style, image, photo)
        before = lab.losses_of(trained.config, style, photo, photo)["style"]
        kept = detail_kept(image, photo)
        rows.append(
            [
                (photo, f"{which} photograph ({complexity(photo):.3f})"),
                (style, f"{which} painting ({complexity(style):.3f})"),
                (image, f"detail kept {kept:.2f}\nstyle loss {losses['style']:.4f} of {before:.3f}"),
            ]
        )
        lab.note(
            f"fig4_{which}",
            {
                **names,
                "detail_kept": round(kept, 3),
                "style_loss": round(losses["style"], 4),
                "style_loss_of_the_photograph": round(before, 4),
                "content_lost": round(losses["content"], 3),
            },
        )
    contact_sheet(lab.out / "figure_4.jpg", rows, f"Duke Fig. 4 — {lab.caption(trained)}")


def figure_6(lab: Duke) -> None:
    """Make Fig. 6: a photograph stylized with noise scaled by k; the training has k = 1."""
    photo, style = lab.photo("tubingen"), lab.painting(STARRY)
    rows: list[list[Cell]] = []
    for norm in NORMS:
        trained = lab.trained(STARRY, norm=norm)
        row: list[Cell] = [(photo, f"photograph\n({norm} normalization)")]
        found = {}
        for k in NOISES:
            image = painted(trained, photo, k)
            losses = lab.losses_of(trained.config, style, image, photo)
            kept = detail_kept(image, photo)
            row.append((image, f"k = {k:g}\ndetail kept {kept:.2f}, style {losses['style']:.3f}"))
            found[f"{k:g}"] = {
                "detail_kept": round(kept, 3),
                **{kind: round(value, 4) for kind, value in losses.items()},
            }
        lab.note(f"fig6_{norm}", found)
        rows.append(row)
    contact_sheet(lab.out / "figure_6.jpg", rows, f"Duke Fig. 6 — {lab.caption(trained)}", cell=1.9)


def figure_8(lab: Duke) -> None:
    """Make Fig. 8: recover the content with a second generator, whose style image is the content.

    As a control, the second generator is also applied to the stylized version of another photograph. Content
    that appears there does not come from the image, but from what the second generator has learned of the
    content.
    """
    photo, other = lab.photo("timber_houses"), lab.photo("tubingen")
    style = lab.painting(STARRY)
    first, second = lab.trained(STARRY), lab.trained("timber_houses_as_style", photo)
    g, control = painted(first, photo), painted(first, other)
    back, control_back = painted(second, g), painted(second, control)
    pictures = {"g": g, "g prime": back, "control g": control, "control g prime": control_back}
    found = {}
    for name, image in pictures.items():
        losses = lab.losses_of(second.config, photo, image, photo)
        found[name] = {
            "histogram": round(histogram_distance(image, photo), 3),
            "pixels_rms": round(float(np.sqrt(np.mean((image - photo) ** 2))), 4),
            "content_features": round(losses["content"], 3),
            "style_of_the_content": round(losses["style"], 4),
            "detail_kept": round(detail_kept(image, photo), 3),
            "coarse_correlation": round(coarse_correlation(image, photo), 3),
        }
    lab.note("fig8", found)
    says = {
        name: f"histogram {at['histogram']:.2f}, features {at['content_features']:.2f}"
        for name, at in found.items()
    }
    rows: list[list[Cell]] = [
        [
            (style, STARRY),
            (photo, "content c"),
            (g, f"g: c by the first\n{says['g']}"),
            (back, f"g': g by the second\n{says['g prime']}"),
        ],
        [
            (None, "control:"),
            (other, "another photograph"),
            (control, f"it by the first\n{says['control g']}"),
            (control_back, f"that by the second\n{says['control g prime']}"),
        ],
    ]
    contact_sheet(lab.out / "figure_8.jpg", rows, f"Duke Fig. 8, distances to c — {lab.caption(second)}")


def texture(lab: Duke) -> None:
    """Make textures with the generator of the report's Fig. 7: five scales, and noise as the only input."""
    style = lab.painting(STARRY)
    base = TRAIN_PRESETS["texture"]
    assert isinstance(base.generator, UlyanovConfig)
    side = lab.size.side
    config = dataclasses.replace(
        base,
        generator=dataclasses.replace(base.generator, scales=settings.TEXTURE_SCALES),
        steps=lab.size.texture_steps,
        style_size=side,
        data=dataclasses.replace(base.data, size=side, batch_size=2),
    )
    trained = lab.train("texture", config, style)
    if trained.generator is None:
        return
    one, other = (stylize(trained.generator, None, seed=seed, size=(side, side)) for seed in (0, 1))
    large = stylize(trained.generator, None, seed=2, size=(2 * side, 2 * side))
    losses = [lab.losses_of(config, style, image, image)["style"] for image in (one, other, large)]
    lab.note(
        "texture",
        {
            "style_loss": [round(value, 4) for value in losses],
            # 1 for two unrelated images of one texture, 0 for equal ones.
            "difference_of_two_noises": round(sample_distance(one, other), 3),
        },
    )
    cells: list[Cell] = [
        (style, STARRY),
        (one, f"one noise\nstyle loss {losses[0]:.4f}"),
        (other, f"another\nstyle loss {losses[1]:.4f}"),
        (large, f"of twice the size\nstyle loss {losses[2]:.4f}"),
    ]
    contact_sheet(lab.out / "texture.jpg", [cells], f"Texture of noise alone — {lab.caption(trained)}")


def main() -> None:
    """Make the figures."""
    keep_programs()  # most training runs share one compiled program
    lab = Duke(tyro.cli(TrainArguments, description=__doc__))
    lab.note("devices", [str(device) for device in jax.devices()])
    lab.note("photographs", sorted(path.name for path in Path(lab.source).iterdir()))
    lab.make(norms, figure_2, figure_4, figure_6, figure_8, texture)


if __name__ == "__main__":
    main()
