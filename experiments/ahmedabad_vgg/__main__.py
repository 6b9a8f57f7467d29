"""Report 002: ``python -m experiments.ahmedabad_vgg --weights VGG19 --vgg16 VGG16 --images DIR``.

The same transfer with VGG-16 and with VGG-19: content from the last convolution of the last block, style from the
first of every block, 3000 epochs of gradient descent from the photograph. Settings are those of the preset
``ahmedabad``, which has the source of each, converted to 224 pixels. Runtime: about 10 minutes a run on 2 cores, 4 runs.
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.common import Arguments, Lab, detail_correlation, fit
from nstjax import PRESETS, InputError, TransferConfig, load_backbone
from nstjax.nn.vgg import layer_names
from nstjax.optim import Sgd
from nstjax.reports import contact_sheet, loss_plot
from nstjax.typing import Backbone

LONG_SIDE = 224  # the networks' own size (section III); the preset's is for a GPU
PHOTO, PAINTINGS = "timber_houses", ("great_wave", "udnie")


@dataclasses.dataclass(frozen=True)
class PairArguments(Arguments):
    """``weights`` is VGG-19's."""

    vgg16: str = "vgg16"
    """The same of VGG-16."""


def config(backbone: Backbone) -> TransferConfig:
    """The preset at this experiment's size, with the content layer of the network: its last convolution.

    With ``r`` times the pixels, the style loss is the same and its gradient at a pixel ``1/r`` as large; the content
    loss is a sum and ``r`` times as large, its gradient at a pixel the same. With a content weight of ``1/r`` and a
    learning rate of ``r`` times the preset's, balance, loss and steps are those of the preset's size.
    """
    preset = PRESETS["ahmedabad"]
    assert isinstance(preset.optimizer, Sgd)
    assert preset.optimizer.learning_rate is not None
    last = [name for name in layer_names(backbone.arch) if name.startswith("relu")][-1]
    r = (LONG_SIDE / preset.size) ** 2
    objective = dataclasses.replace(
        preset.objective, content_layers=(last,), content_weight=preset.objective.content_weight / r
    )
    optimizer = dataclasses.replace(preset.optimizer, learning_rate=preset.optimizer.learning_rate * r)
    return dataclasses.replace(
        preset, objective=objective, optimizer=optimizer, size=LONG_SIDE, scales=(LONG_SIDE,)
    )


class PairLab(Lab):
    """A lab with both networks."""

    def __init__(self, arguments: PairArguments, folder: Path) -> None:
        super().__init__(arguments, folder)
        self.vgg16 = load_backbone(arguments.vgg16, "vgg16")
        for option, backbone, arch in (("weights", self.backbone, "vgg19"), ("vgg16", self.vgg16, "vgg16")):
            if backbone.arch != arch:
                raise InputError(f"--{option} holds weights of {backbone.arch}: name those of {arch}")

    def _weights(self) -> str:
        return f"{super()._weights()}; {self.vgg16.source}, {self.vgg16.sha256[:16]}"


def _side_by_side(lab: PairLab, painting: str, title: str) -> None:
    """The photograph, the painting, and both networks' pictures."""
    content = fit(lab.picture("content", PHOTO), LONG_SIDE)
    style = fit(lab.picture("style", painting), LONG_SIDE)
    cells = [(content, "photograph"), (style, painting)]
    for backbone in (lab.vgg16, lab.backbone):
        run = lab.run(f"{painting}_{backbone.arch}", content, style, config(backbone), backbone)
        kept = detail_correlation(run.image, content)
        losses = [entry["loss"] for entry in run.history]
        middle, last = losses[len(losses) // 2], losses[-1]
        layer = run.config.objective.content_layers[0]
        cells.append(
            (run.image, f"{backbone.arch}, content {layer}\nloss {last:.4g}, detail kept {kept:.3f}")
        )
        lab.note(
            f"{painting}_{backbone.arch}",
            {
                "loss_first_middle_last": [float(f"{x:.4g}") for x in (losses[0], middle, last)],
                "fall_in_second_half": round(1 - last / middle, 4),
                "detail_kept": round(kept, 3),
            },
        )
        loss_plot(
            lab.out / f"loss_{painting}_{backbone.arch}.png", run.history, f"{painting}, {backbone.arch}"
        )
    networks = "\n".join(f"{b.arch}, {b.source}" for b in (lab.vgg16, lab.backbone))
    contact_sheet(lab.out / f"networks_{painting}.jpg", [cells], f"Ahmedabad {title}\n{networks}")


def figures_4_to_7(lab: PairLab) -> None:
    """The first style."""
    _side_by_side(lab, PAINTINGS[0], "Fig. 4 to 7")


def figures_8_to_11(lab: PairLab) -> None:
    """The second style."""
    _side_by_side(lab, PAINTINGS[1], "Fig. 8 to 11")


def main() -> None:
    """Make the figures."""
    lab = PairLab(tyro.cli(PairArguments, description=__doc__), Path(__file__).parent)
    lab.make(figures_4_to_7, figures_8_to_11)


if __name__ == "__main__":
    main()
