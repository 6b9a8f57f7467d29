"""The Ahmedabad report: ``python -m experiments.ahmedabad_vgg --weights VGG19 --vgg16 VGG16 --images DIR``.

The same transfer with VGG-16 and with VGG-19: the content layer is the last convolution of the last block,
the style layers are the first ones of all blocks, and the optimizer takes 3000 steps of gradient descent from
the photograph. The settings are those of the preset ``ahmedabad``, where the source of each is given,
converted to 224 pixels. Run time: about 10 minutes per run on 2 cores, 4 runs.
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

LONG_SIDE = 224  # the networks' input size (section III); the preset's size needs a GPU
PHOTO, PAINTINGS = "timber_houses", ("great_wave", "udnie")


@dataclasses.dataclass(frozen=True)
class PairArguments(Arguments):
    """Command-line arguments; ``weights`` are those of VGG-19."""

    vgg16: str = "vgg16"
    """Weights of VGG-16: an installed name, a weights file, or the folder of a store."""


def config(backbone: Backbone) -> TransferConfig:
    """Return the preset at this experiment's size, with the network's last convolution as content layer.

    With ``r`` times as many pixels, the style loss stays the same, and its gradient at a pixel becomes
    ``1/r`` as large. The content loss is a sum, so it becomes ``r`` times as large, and its gradient at a
    pixel stays the same. With a content weight of ``1/r`` and a learning rate of ``r`` times the preset's,
    the balance, the loss and the steps are those of the preset's size.
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
    """A lab with VGG-19 and VGG-16.

    Args:
        arguments: arguments of the command line.
        folder: folder of the experiment.

    Raises:
        InputError: an option names weights of another network.
    """

    def __init__(self, arguments: PairArguments, folder: Path) -> None:
        super().__init__(arguments, folder)
        self.vgg16 = load_backbone(arguments.vgg16, "vgg16")
        for option, backbone, arch in (("weights", self.backbone, "vgg19"), ("vgg16", self.vgg16, "vgg16")):
            if backbone.arch != arch:
                raise InputError(f"--{option} holds weights of {backbone.arch}: name those of {arch}")

    def _weights(self) -> str:
        return f"{super()._weights()}; {self.vgg16.source}, {self.vgg16.sha256[:16]}"


def _side_by_side(lab: PairLab, painting: str, title: str) -> None:
    """Make a sheet of the photograph, the painting and the images of both networks."""
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
    """Make Fig. 4 to 7: the first style."""
    _side_by_side(lab, PAINTINGS[0], "Fig. 4 to 7")


def figures_8_to_11(lab: PairLab) -> None:
    """Make Fig. 8 to 11: the second style."""
    _side_by_side(lab, PAINTINGS[1], "Fig. 8 to 11")


def main() -> None:
    """Make the figures."""
    lab = PairLab(tyro.cli(PairArguments, description=__doc__), Path(__file__).parent)
    lab.make(figures_4_to_7, figures_8_to_11)


if __name__ == "__main__":
    main()
