"""Named trainings: the default, a quick look, and the choices of papers and reports."""

from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig, UlyanovConfig
from nstjax.losses import Objective
from nstjax.training.config import TrainConfig

_JOHNSON_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # of VGG-16
_FIRST_RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # of VGG-19
_FIRST_CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
_GENTLE = Objective(style_weight=40.0)
_NONE = "fake"  # stands for photographs until --data names them

TRAIN_PRESETS: dict[str, TrainConfig] = {
    # Layers by what the feature network has, losses relative to their targets, as for single pictures.
    # The style weight is less than a single picture's: a generator must first find the photograph.
    "default": TrainConfig(
        objective=_GENTLE, data=DataConfig(_NONE, zoom=(1.0, 1.5)), schedule="cosine", clip=20.0
    ),
    # Minutes on a CPU: half width, small crops.
    "quick": TrainConfig(
        steps=400,
        learning_rate=3e-3,
        schedule="cosine",
        clip=20.0,
        generator=JohnsonConfig(width=0.5, upsampling="nearest", residual_blocks=4),
        objective=_GENTLE,
        data=DataConfig(_NONE, size=128, batch_size=4, zoom=(1.0, 1.5)),
    ),
    # Johnson et al. 2016, sections 3 and 4.1: VGG-16, content relu2_2 [sic: their released code has relu3_3],
    # Adam 1e-3, batches of 4, 40,000 steps at 256 pixels. The weights are of the released code
    # (fast-neural-style: content 1, style 5, TV 1e-6 on values of 0 to 255), which the paper does not print;
    # its style loss is a sum of squares of F'F/(CHW), as here "johnson" is but for the mean.
    "johnson": TrainConfig(
        steps=40_000,
        generator=JohnsonConfig(norm="batch", upsampling="transposed", output="tanh"),
        objective=Objective(
            content_layers=("relu2_2",),
            style_layers=_JOHNSON_STYLE,
            style_layer_weights=(1.0,) * 4,
            content_weight=1.0,
            style_weight=5.0,
            tv_weight=0.065,  # 1e-6 · 255², on values in [0, 1]
            content_loss="mean",
            style_loss="johnson",
            tv_distance="squared",
            tv_reduction="sum",
        ),
        data=DataConfig(_NONE, size=256, batch_size=4),
    ),
    # Ulyanov et al. 2016: section 4.2 and texture_nets: content relu4_2, style relu1_1 … relu4_1, Adam with 0.8
    # every 2000 steps, batch 1, 50,000 steps.
    "ulyanov": TrainConfig(
        steps=50_000,
        learning_rate=1e-3,
        schedule="exponential",
        decay_rate=0.8,
        decay_steps=2000,
        generator=UlyanovConfig(norm="instance"),
        objective=Objective(content_layers=("relu4_2",), style_layers=_FIRST_RELUS[:4]),
        data=DataConfig(_NONE, size=256, batch_size=1),
    ),
    # A texture of noise alone: five scales, wrapped around (Ulyanov et al. 2016, section 4.1).
    "texture": TrainConfig(
        steps=2000,
        learning_rate=1e-2,
        schedule="cosine",
        generator=UlyanovConfig(norm="batch", padding="circular", scales=5, content=False, join_norm=True),
        objective=Objective(content_weight=0.0, tv_weight=0.0),
        data=DataConfig(_NONE, size=256, batch_size=4),
    ),
    # Report 000, sections 2.2 to 2.4 and appendix C: 600 epochs of 18 photographs at batch 1, Adam 0.1; content
    # from the fourth convolution, style from the first five, as in the tutorial that it names. Its α is given for
    # Gatys alone (1e10); relative losses take its place.
    "duke": TrainConfig(
        steps=10_800,
        learning_rate=0.1,
        generator=UlyanovConfig(),
        objective=Objective(content_layers=("conv2_2",), style_layers=_FIRST_CONVOLUTIONS, tv_weight=0.0),
        data=DataConfig(_NONE, size=256, batch_size=1, flip=False),
    ),
    # Thesis (report 004), chapters 4 and 5: instance norm, bilinear upsampling, L1 losses; TV 1/1000, ratio 500. It
    # does not give its losses' normalisation, by which these two figures have their meaning; one pass over COCO.
    "pomona": TrainConfig(
        steps=29_500,
        generator=JohnsonConfig(norm="instance", upsampling="bilinear"),
        objective=Objective(content_distance="absolute", style_distance="absolute"),
        data=DataConfig(_NONE, size=256, batch_size=4),
    ),
}
