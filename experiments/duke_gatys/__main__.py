"""Report 000, Gatys's method: ``python -m experiments.duke_gatys --weights W --images DIR``.

256×256 pixels, white noise, 300 iterations of L-BFGS, style weight 1e10 to content weight 1, five style
layers, the content layer a choice. The report follows PyTorch's tutorial on neural style transfer, in
which "layer n" is the n-th convolution before its ReLU, counted through the network, pooling is by
maximum, Gram matrices are F'F/(CHW) and both losses are mean squares. Runtime: about 1.5 minutes a
picture on 2 cores with the three blocks' weights, 8 pictures.
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.common import Arguments, Lab, Run, caption, complexity, detail_correlation, square
from nstjax import TransferConfig
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.reports import Cell, contact_sheet
from nstjax.typing import Backbone

SIDE = 256  # section 2.3
ITERATIONS = 300  # section 2.3: "a 300 epoch time period"
STYLE_WEIGHT = 1e10  # section 2.3
CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")  # "convolutional layers 1,2,3,4,5"
SECOND, FOURTH = "conv1_2", "conv2_2"  # Fig. 5


def style_weight(backbone: Backbone, reported: float = STYLE_WEIGHT) -> float:
    """The report's weight, for weights that take another range of pixel values.

    It was chosen for torchvision's network, whose input has unit variance. Activations are nearly
    proportional to the input's scale; the style loss goes with its fourth power and the content loss
    with its second, so the ratio that means the same goes with its inverse square.
    """
    spread = backbone.preprocessing.scale / (sum(backbone.preprocessing.std) / 3)
    torchvision = 1.0 / ((0.229 + 0.224 + 0.225) / 3)
    return reported / (spread / torchvision) ** 2


def config(backbone: Backbone, content_layer: str = FOURTH) -> TransferConfig:
    """The report's settings."""
    return TransferConfig(
        objective=Objective(
            content_layers=(content_layer,),
            style_layers=CONVOLUTIONS,
            content_weight=1.0,
            style_weight=style_weight(backbone),
            style_layer_weights=(1.0,) * len(CONVOLUTIONS),
            tv_weight=0.0,
            content_loss="mean",
            style_loss="johnson",
        ),
        optimizer=Lbfgs(iterations=ITERATIONS),
        size=SIDE,
        scales=(SIDE,),
        init="noise",
        pooling="max",
        padding="zeros",
    )


def _run(lab: Lab, photo: str, painting: str, layer: str) -> Run:
    content, style = (square(lab.picture(k, n), SIDE) for k, n in (("content", photo), ("style", painting)))
    return lab.run(f"{photo}_{painting}_{layer}", content, style, config(lab.backbone, layer))


def figure_1(lab: Lab) -> None:
    """A good and a bad style: Starry Night, and an abstract composition, content layer 2."""
    photo = "golden_gate"
    good, bad = _run(lab, photo, "starry_night", SECOND), _run(lab, photo, "udnie", SECOND)
    content = square(lab.picture("content", photo), SIDE)
    rows: list[list[Cell]] = [
        [
            (None, "styles:"),
            (square(lab.picture("style", "starry_night"), SIDE), "Starry Night"),
            (square(lab.picture("style", "udnie"), SIDE), "Udnie (for Composition VII)"),
        ],
        [(content, "photograph"), (good.image, "good"), (bad.image, "bad")],
    ]
    for name, run in (("starry_night", good), ("udnie", bad)):
        lab.note(f"fig1_detail_kept_{name}", round(detail_correlation(run.image, content), 3))
    contact_sheet(lab.out / "figure_1.jpg", rows, f"Duke Fig. 1 — {caption(good, lab.backbone)}")


def figure_3(lab: Lab) -> None:
    """The most and the least complex photograph, each with the most and the least complex painting."""
    ranked = {
        kind: sorted(lab.names(kind), key=lambda n: complexity(lab.picture(kind, n)))
        for kind in ("content", "style")
    }
    rows = []
    for which, index in (("complex", -1), ("simple", 0)):
        photo, painting = ranked["content"][index], ranked["style"][index]
        run = _run(lab, photo, painting, FOURTH)
        content, style = (
            square(lab.picture("content", photo), SIDE),
            square(lab.picture("style", painting), SIDE),
        )
        kept = detail_correlation(run.image, content)
        rows.append(
            [
                (content, f"{which} photograph ({complexity(content):.3f})"),
                (style, f"{which} painting ({complexity(style):.3f})"),
                (run.image, f"result ({complexity(run.image):.3f})"),
            ]
        )
        lab.note(f"fig3_{which}", {"photo": photo, "painting": painting, "detail_kept": round(kept, 3)})
    contact_sheet(lab.out / "figure_3.jpg", rows, f"Duke Fig. 3 — {caption(run, lab.backbone)}")


def figure_5(lab: Lab) -> None:
    """The content layer: second against fourth convolution. The deeper keeps less pixel detail."""
    photo = "golden_gate"
    content = square(lab.picture("content", photo), SIDE)
    cells = [(content, "photograph")]
    kept = {}
    for layer, name in ((SECOND, "second"), (FOURTH, "fourth")):
        run = _run(lab, photo, "starry_night", layer)
        kept[layer] = detail_correlation(run.image, content)
        cells.append((run.image, f"{name} convolution ({layer})\ndetail kept {kept[layer]:.3f}"))
        lab.note(f"fig5_detail_kept_{layer}", round(kept[layer], 3))
    lab.note("fig5_deeper_keeps_less_detail", kept[FOURTH] < kept[SECOND])
    contact_sheet(lab.out / "figure_5.jpg", [cells], f"Duke Fig. 5 — {caption(run, lab.backbone)}")


def style_weight_sweep(lab: Lab) -> None:
    """Not in the report: how much of the picture its weight of 1e10 decides."""
    photo, painting = "golden_gate", "starry_night"
    content, style = square(lab.picture("content", photo), SIDE), square(lab.picture("style", painting), SIDE)
    cells = []
    for weight in (1e6, 1e8, STYLE_WEIGHT):
        base = config(lab.backbone, FOURTH)
        record = dataclasses.replace(base.objective, style_weight=style_weight(lab.backbone, weight))
        label = f"{photo}_{painting}_{FOURTH}" + ("" if weight == STYLE_WEIGHT else f"_{weight:.0e}")
        run = lab.run(label, content, style, dataclasses.replace(base, objective=record))
        kept = detail_correlation(run.image, content)
        cells.append((run.image, f"style weight {weight:.0e}\ndetail kept {kept:.3f}"))
        lab.note(f"sweep_detail_kept_{weight:.0e}", round(kept, 3))
    contact_sheet(lab.out / "style_weight.jpg", [cells], f"Style weight — {caption(run, lab.backbone)}")


def main() -> None:
    """Make every figure."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    for figure in (figure_5, figure_1, figure_3, style_weight_sweep):
        figure(lab)
        lab.finish()


if __name__ == "__main__":
    main()
