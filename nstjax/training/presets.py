"""Training presets: the default, a quick one, and the settings of papers and reports."""

from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig, UlyanovConfig
from nstjax.losses import Objective
from nstjax.nn.table import FIRST_RELUS
from nstjax.training.config import TrainConfig

_JOHNSON_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # of VGG-16
_FIRST_CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
_NONE = "fake"  # stands for photographs until the user names them

TRAIN_PRESET_NOTES = {
    "default": "40,000 steps, for a GPU",
    "quick": "400 steps from the weights of gallery: minutes on a CPU",
    "johnson": "Johnson et al. 2016, with the weights of their code",
    "ulyanov2016": "Ulyanov et al. 2016, Texture Networks",
    "ulyanov": "Ulyanov et al., later code: instance normalization",
    "texture": "textures from noise alone, without photographs",
    "duke": "student report (Duke): Ulyanov's network",
    "pomona": "student thesis (Pomona): Johnson's network",
}
"""What each training preset is, in a few words."""

GALLERY_NETWORK = JohnsonConfig(
    upsampling="bilinear",
    width=0.5,
    downsamplings=3,
    residual_blocks=4,
    skips=True,
    noise=2,
    up_norm=False,
)
"""The network of ``gallery``, the generator that comes with nstjax, with one style."""

TRAIN_PRESET_STARTS = {"quick": "gallery"}
"""Name of the installed generator whose weights a preset starts from, for presets that do not start from random ones."""

TRAIN_PRESETS: dict[str, TrainConfig] = {
    # Layers and style weight by what the feature network has, losses relative to their targets, as for single pictures.
    "default": TrainConfig(data=DataConfig(_NONE, zoom=(1.0, 1.5)), schedule="cosine", clip=20.0),
    # Minutes on a CPU: the network of the generator that comes with nstjax, and its weights at the start.
    "quick": TrainConfig(
        steps=400,
        learning_rate=2e-3,
        schedule="cosine",
        clip=20.0,
        style_size=512,
        generator=GALLERY_NETWORK,
        data=DataConfig(_NONE, size=128, batch_size=4, zoom=(1.0, 1.5)),
    ),
    # Johnson et al. 2016, Perceptual Losses, ECCV (arXiv 1603.08155), section 4.1 and supplement. It prints no weights;
    # those are of the released code, jcjohnson/fast-neural-style, which also changes layer and normalization.
    "johnson": TrainConfig(
        steps=40_000,  # 4.1
        learning_rate=1e-3,  # 4.1: Adam
        # Supplement, table 1; the code has instance normalization by default
        generator=JohnsonConfig(norm="batch", upsampling="transposed", output="tanh"),
        objective=Objective(
            content_layers=("relu2_2",),  # 4.1, of VGG-16; the code has relu3_3
            style_layers=_JOHNSON_STYLE,  # 4.1
            style_layer_weights=(1.0,) * 4,  # the code adds the layers up
            content_weight=1.0,  # train.lua: -content_weights 1.0
            style_weight=5.0,  # train.lua: -style_weights 5.0
            # train.lua: -tv_strength 1e-6 (the paper: 1e-6 to 1e-4). TotalVariation.lua has no loss, only a gradient: a
            # pixel gets strength·(x_ij − x_i+1,j) and its neighbor the opposite, the gradient of ½·strength·Σd². Here
            # the loss is Σd². Values there are 0 to 255, here 0 to 1: a factor of 255². And there the other losses are
            # means over the batch of 4, but this gradient is not divided by 4: relative to them it counts 4 times. In
            # all ½·4·1e-6·255² = 0.13.
            tv_weight=0.5 * 4 * 1e-6 * 255**2,
            content_loss="mean",  # ContentLoss.lua; the paper's eq. 2
            style_loss="johnson",  # StyleLoss.lua: mean squares, where eq. 4 of the paper has the sum
            tv_distance="squared",
            tv_reduction="sum",
        ),
        data=DataConfig(_NONE, size=256, batch_size=4),  # 4.1
        style_size=256,  # train.lua: -style_image_size 256
    ),
    # Ulyanov et al. 2016, Texture Networks, ICML (arXiv 1603.03417), section 4.2. It prints no weights; those and the
    # schedule are of its code of 2016, stylization_train.lua of DmitryUlyanov/texture_nets.
    "ulyanov2016": TrainConfig(
        steps=3000,  # the code; the paper: 2000
        learning_rate=0.1,  # paper and code
        schedule="exponential",
        decay_rate=0.8,  # the code: ×0.8 every 300; the paper: ×0.7 at 1000 and then every 200
        decay_steps=300,
        generator=UlyanovConfig(norm="batch", padding="circular", join_norm=True),  # section 4.1; 6 scales
        objective=Objective(
            content_layers=("relu4_2",),  # section 4.2
            style_layers=FIRST_RELUS,  # the code; the paper's stylization leaves relu5_1 out
            style_layer_weights=(1.0,) * 5,
            content_weight=0.6,  # -content_weight 6e-1
            style_weight=1e3,  # -style_weight 1e3
            tv_weight=0.0,  # none
            content_loss="mean",  # content_loss.lua: mean square
            style_loss="johnson",  # texture_loss.lua: mean square of F'F/(CHW)
        ),
        data=DataConfig(_NONE, size=256, batch_size=16),  # paper and code
        style_size=256,
    ),
    # The same authors' later code, train.lua of DmitryUlyanov/texture_nets, after their Instance Normalization (2016,
    # arXiv 1607.08022): every value is its default.
    "ulyanov": TrainConfig(
        steps=50_000,  # -num_iterations
        learning_rate=1e-3,  # -learning_rate
        schedule="exponential",
        decay_rate=0.8,  # every 2000 iterations
        decay_steps=2000,
        # -model pyramid, -normalization instance. It pads by replication, which is not here.
        generator=UlyanovConfig(norm="instance", padding="reflect"),
        objective=Objective(
            content_layers=("relu4_2",),  # -content_layers
            style_layers=FIRST_RELUS[:4],  # -style_layers
            style_layer_weights=(1.0,) * 4,
            content_weight=1.0,  # -content_weight
            style_weight=1.0,  # -style_weight
            tv_weight=0.0,  # -tv_weight
            content_loss="mean",
            style_loss="johnson",
        ),
        data=DataConfig(_NONE, size=256, batch_size=1),  # -image_size, -batch_size
        style_size=256,  # -style_size
    ),
    # A texture of noise alone: five scales, wrapped around (Ulyanov et al. 2016, section 4.1).
    "texture": TrainConfig(
        steps=2000,  # section 4.1
        learning_rate=1e-2,  # section 4.1: 0.1, ×0.7 at 1000 and then every 200; this is steadier
        schedule="cosine",
        generator=UlyanovConfig(norm="batch", padding="circular", scales=5, content=False, join_norm=True),
        objective=Objective(
            content_weight=0.0, style_weight=1.0, tv_weight=0.0
        ),  # one term: its weight is a unit
        data=DataConfig(_NONE, size=256, batch_size=4),  # section 4.1: 16
    ),
    # The Duke report, Ulyanov's method.
    "duke": TrainConfig(
        steps=600 * 18,  # appendix C and section 3: 600 epochs of 18 photographs
        learning_rate=0.1,  # appendix C: Adam
        generator=UlyanovConfig(),  # section 2.4
        objective=Objective(
            content_layers=("conv2_2",),  # 2.2: "the fourth convolution layer"
            style_layers=_FIRST_CONVOLUTIONS,  # 2.3: layers 1 to 5
            # Not given: the 1e10 of 2.3 is for Gatys's method alone. Chosen by eye for losses relative to their
            # targets; with 180 a generator learns the painting's textures and loses the photograph.
            style_weight=10.0,
            tv_weight=0.0,  # none in the report
        ),
        data=DataConfig(_NONE, size=256, batch_size=1, flip=False),  # 3 and appendix C
    ),
    # Pomona thesis (Barnes 2018), chapters 3 to 5.
    "pomona": TrainConfig(
        steps=29_500,  # chapter 5: one pass over 118,000 photographs
        generator=JohnsonConfig(norm="instance", upsampling="bilinear"),  # sections 4.1 and 4.2
        # Layers: those of chapter 2 on a whole VGG-16, relu4_2 and relu1_1 to relu5_1, as the default chooses them.
        # Chapter 5 selects a ratio of style to content of 500 and a total variation of 1/1000, without the
        # normalization that gives these numbers a meaning. Relative losses take its place: a style weight of 60
        # stands for the ratio of 500, and 300 times the mean variation for a total variation of 1. Both were chosen
        # by eye so that the sweeps of Fig. 5.5 and 5.6 span what the thesis shows.
        objective=Objective(
            style_weight=60.0,
            tv_weight=300.0 / 1000,
            content_distance="absolute",  # section 4.3
            style_distance="absolute",
            tv_distance="absolute",  # eq. 3.2
            tv_reduction="mean",
        ),
        style_size=512,  # not given
        # Chapter 5 gives no crop: nearly the whole photograph, since a crop without contrast leaves instance
        # normalization nothing to divide by. 256 and batches of 4 are Johnson's.
        data=DataConfig(_NONE, size=256, batch_size=4, zoom=(1.0, 1.25)),
    ),
}
