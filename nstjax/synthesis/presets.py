"""Presets: the defaults, a fast preset, and the settings of papers, reports and programs.

Every value of a paper's or report's preset has its source beside it. Values that the source does not give
are marked "not given". Every preset but ``default`` and ``fast`` names layers of the whole VGG-19; its weights
are for the original network, which takes pixel values of 0 to 255 (``caffe-bgr``), unless the comment says
otherwise.

The reports are student documents:

* the Duke report: Bhrij Patel and Jose Balcazar Caldas, ECE 590-07 final project, Duke University;
* the Brown report: Melis Gokalp and Joshua Kim, "Painting the Starry Night: Implementing Image Style Transfer Using
  Convolutional Neural Networks", Brown University;
* the Ahmedabad report: Yash Arvindkumar Patel and Bhavesh Oza, "Home Assignment 6-7", Ahmedabad University;
* the Stanford poster: Jixun Ding, Fangze Liu and Wen Wang, "CS 229 Final Project: Neural Style Transfer", Stanford
  University;
* the Pomona thesis: Chris Barnes, "Artistic Style Transfer using Deep Learning", Pomona College, 2018.
"""

from nstjax.losses import Objective
from nstjax.nn.table import CHANNELS_OF_BLOCK, FIRST_RELUS
from nstjax.optim import Adam, Lbfgs, ScipyLbfgsb, Sgd
from nstjax.synthesis.config import TransferConfig
from nstjax.typing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION

DUKE_STYLE_WEIGHT = 1e10
"""The Duke report, sections 2.3 and 3.3, for torchvision's network; the preset ``duke`` has it converted."""


def input_scale(preprocessing: Preprocessing) -> float:
    """Return the factor by which the preprocessing multiplies pixel values in [0, 1]: the scale over the mean deviation."""
    return preprocessing.scale / (sum(preprocessing.std) / 3)


def from_torchvision(weight: float, preprocessing: Preprocessing = CAFFE_BGR) -> float:
    """A Gram style weight chosen for torchvision's network, for weights with another input scale.

    Activations are nearly proportional to the input's scale ``s``. A squared Gram loss grows with ``s⁴`` and a
    squared content loss with ``s²``, so the same balance needs a style weight that is smaller by ``s²``.

    Args:
        weight: style weight, with a content weight of 1, for torchvision's preprocessing.
        preprocessing: of the network that is used.
    """
    return weight / (input_scale(preprocessing) / input_scale(TORCHVISION)) ** 2


def keras_layer_weights(layers: int = 5) -> tuple[float, ...]:
    """Factors that turn the ``gatys`` style loss of each block's first layer into that of Keras's example.

    The example (keras.io, neural_style_transfer; unchanged from 2016 to 2020) divides ``Σ(F'F − S'S)²`` by
    ``4·channels²·size²`` with ``channels = 3`` and ``size = rows·columns`` of the image, at every layer, and
    averages over the layers. The loss ``gatys`` divides by the layer's own ``N`` channels and ``M`` positions.
    In block ``b`` there are ``4^(b−1)`` times fewer positions than pixels (exactly so where the sides are
    multiples of 16), so the factor is ``(N/3)²·16^(1−b)/L``.

    Args:
        layers: ``L``, the number of blocks used, from the first.
    """
    return tuple(
        (channels / 3) ** 2 * 16.0 ** (1 - block) / layers
        for block, channels in enumerate(CHANNELS_OF_BLOCK[:layers], start=1)
    )


PRESET_NOTES = {
    "default": "512 pixels, coarse to fine, 100 iterations at each scale",
    "fast": "256 pixels, coarse to fine, 60 iterations at each scale",
    "gatys": "Gatys et al. 2016, as in the paper",
    "gatys-code": "Gatys et al., as in their published code",
    "crowson": "style-transfer-pytorch: Wasserstein style loss, Adam",
    "duke": "student report (Duke): L-BFGS from noise, 256 pixels",
    "brown": "student report (Brown): L-BFGS-B of SciPy",
    "ahmedabad": "student report (Ahmedabad): 3000 steps of SGD",
    "stanford": "student poster (Stanford): Adam from noise",
}
"""What each preset is, in a few words."""

PRESETS: dict[str, TransferConfig] = {
    # Three scales, losses relative to their targets, layers by what the weights have.
    "default": TransferConfig(optimizer=Lbfgs(iterations=100), size=512),
    # A look in a fraction of the time.
    "fast": TransferConfig(optimizer=Lbfgs(iterations=60), size=256),
    # Gatys et al. 2016, Image Style Transfer Using Convolutional Neural Networks, CVPR. The paper's network has its
    # filters rescaled to a mean activation of 1 (section 2). nstjax loads the original one, so the weights are
    # converted instead: with the factors below, the original network has the balance of the rescaled one.
    "gatys": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),  # section 3; "conv4_2" is after its ReLU in the authors' code
            style_layers=FIRST_RELUS,  # section 3: conv1_1 to conv5_1
            content_weight=1.0,  # section 3.1: α/β = 1e-3 (Fig. 3 has 1e-3, 8e-4, 5e-3, 5e-4)
            style_weight=1e3,
            # w_l = 1/5 (section 3) times the conversion. Measured on VGG-19, rescaled with 96 photographs: the
            # geometric mean, over 16 photographs and 8 paintings at 192 pixels, of the loss on the rescaled
            # network over that on the original one, divided by the same ratio of the content loss (1.21e-5). E_l is
            # a fourth of the mean square (eq. 4), hence 4/5 of that ratio. A pair differs from the mean by a factor of
            # 2.2, 5.1, 1.3, 1.3, 1.6 (one standard deviation): a scalar a layer cannot replace one a filter.
            style_layer_weights=(0.23, 2.0e-3, 3.9e-4, 1.5e-6, 1.8e-2),
            tv_weight=0.0,  # none in the paper
            # Eq. 1 is ½Σ. The authors' code (leongatys/NeuralImageSynthesis, "normalised vgg-19": 1e9/5 a layer to
            # 1e6) takes means for both losses; only with these do its weights have the paper's α/β = 1e-3.
            content_loss="mean",
            style_loss="gatys",  # eq. 4 and 5
        ),
        optimizer=Lbfgs(iterations=500),  # section 3: L-BFGS; 500 in the authors' code
        size=512,  # section 3: "roughly 512×512 pixels"
        scales=(512,),
        # The authors' code. Section 3.3 begins with noise and finds that the start has no strong effect; with these
        # weights, on a rescaled network too, a start from noise loses the photograph.
        init="content",
        pooling="average",  # section 2
        padding="zeros",
    ),
    # The same authors' settings for the original VGG-19 ("often better for portraits"), in the notebook
    # BasicStyleTransfer of leongatys/NeuralImageSynthesis and in leongatys/PytorchNeuralStyleTransfer.
    "gatys-code": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),
            style_layers=FIRST_RELUS,
            content_weight=1.0,  # mean square
            style_weight=1e3,  # 1e3/C² times the mean square of G: "johnson" divides by C² itself
            style_layer_weights=(1.0,) * 5,
            tv_weight=0.0,
            content_loss="mean",
            style_loss="johnson",
        ),
        optimizer=Lbfgs(iterations=500),
        size=512,  # the code then repeats it at 1024 for 200 iterations, from this result
        scales=(512,),
        init="content",
        pooling="average",  # its Caffe model; the PyTorch version has maximum pooling
        padding="zeros",
    ),
    # K. Crowson's style-transfer-pytorch, at the version with the Wasserstein style loss.
    "crowson": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),
            style_layers=FIRST_RELUS,
            content_weight=0.015,
            style_weight=1.0,
            # 256, 64, 16, 4, 1 over their sum. Divided by the channels: the program averages over them, "sum" adds.
            style_layer_weights=tuple(
                w / 341 / n for w, n in zip((256, 64, 16, 4, 1), CHANNELS_OF_BLOCK, strict=True)
            ),
            # 2 on torchvision's network. Content and style loss are quadratic in the activations, hence in the
            # input's scale s, and the variation is not: 2·s². Its nine-point squares equal the plain ones to second
            # order; here they are the plain ones.
            tv_weight=2.0 * (input_scale(CAFFE_BGR) / input_scale(TORCHVISION)) ** 2,
            content_loss="mean",  # earlier versions: Σd²/Σ|d|, for content and for Gram matrices
            style_loss="sum",
            style_statistic="wasserstein",  # in closed form; the program iterates, and adds 1e-4 to variances
            tv_distance="squared",
            tv_reduction="mean",
        ),
        optimizer=Adam(learning_rate=0.02, b1=0.9, b2=0.99, average=0.99, bounds=(0.0, 1.0)),
        size=512,
        scales=(128, 181, 256, 362, 512),  # a factor of √2
        iterations=(1000, 500, 500, 500, 500),
        init="content",
        pooling="max",
        # The program pads conv1_1 alone so, as here. Its network is torchvision's, trained again: other filters.
        padding="replicate",
    ),
    # The Duke report, Gatys's method. It follows PyTorch's tutorial (section 2.3), where "layer n" is the n-th
    # convolution before its ReLU, counted through the network.
    "duke": TransferConfig(
        objective=Objective(
            content_layers=("conv2_2",),  # 2.2 and 2.3: "the fourth convolution layer"; Fig. 1 has the second
            style_layers=("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"),  # 2.3: layers 1 to 5
            content_weight=1.0,  # 3.3
            style_weight=from_torchvision(DUKE_STYLE_WEIGHT),  # 2.3: 1e10, for torchvision's input scale
            style_layer_weights=(1.0,) * 5,  # 2.3: the sum of the five
            tv_weight=0.0,  # none in the report
            # 2.2 prints sums over G = XX', and says "mean square loss". 2.3 names the tutorial for the Gram matrix,
            # and SwordHolder/neural-style-pytorch, whose weight is the same 1e10: both divide G by C·H·W and take
            # mean squares. With undivided sums, 1e10 would leave no content at all.
            content_loss="mean",
            style_loss="johnson",
        ),
        optimizer=Lbfgs(iterations=300),  # 2.3: "a 300 epoch time period"
        size=256,  # 2.3: 256×256
        scales=(256,),
        init="noise",  # 2.3: white noise
        pooling="max",  # not given; the tutorial's
        padding="zeros",  # the network's own
    ),
    # The Brown report. It follows Keras's example of 2016: names, maxfun = 20, `evaluator`, `deprocess_image`.
    "brown": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),  # 2: conv4_2; Keras's layers are after the ReLU
            style_layers=FIRST_RELUS,  # 2: conv1_1 to conv5_1
            # 1.2: α/β = 0.025/1.0, the example's numbers. 4.2 names them the other way round: then the loss falls by 4 %
            # in 6 rounds and the picture stays the photograph, unlike Fig. 9 and 13.
            content_weight=0.025,
            style_weight=1.0,
            # Fig. 5 prints 1/(4N²M²) with the layer's own N and M; the example that the code follows has N = 3 and the
            # image's size. Both give a clear style: at 160 pixels, from the photograph, 6 rounds leave 2.0 % of the
            # style loss with the printed factors and 1.0 % with the example's, at 1.45 times the content loss. The
            # example's are used.
            style_layer_weights=keras_layer_weights(),
            tv_weight=0.0,  # none in the report; the example has 1.0·Σ(dx² + dy²)^1.25
            content_loss="sum",  # Fig. 3 prints ½Σ; the example has Σ
            style_loss="gatys",
        ),
        # 4.2: 20 iterations of fmin_l_bfgs_b with maxfun 20. Only maxfun ends a round.
        optimizer=ScipyLbfgsb(iterations=10**6, maxfun=20, rounds=20),
        size=400,  # not given; the example's 400 rows
        scales=(400,),
        # Not given for the figures; the example's. White noise is an experiment of 1.2, and after one round of 20
        # evaluations a picture from noise is not the "somehow meaningful and stylized" one of 4.1.
        init="content",
        pooling="max",  # 1.2
        padding="zeros",
    ),
    # The Ahmedabad report. What it does not give is from Keras's example of 2020, which it cites.
    "ahmedabad": TransferConfig(
        objective=Objective(
            content_layers=("relu5_4",),  # IV: last layer of the last block; VGG-16's is relu5_3
            style_layers=FIRST_RELUS,  # IV: first layer of each block
            content_weight=2.5e-8,  # not given; the example's
            style_weight=1e-6,  # not given; the example's
            # IV prints Σ w(G − A)/M^l without a square, which has no minimum; the example's loss is meant. Its
            # constant N = 3 makes the style (N/3)² = 455 to 29127 times stronger than eq. 4 of Gatys et al.
            style_layer_weights=keras_layer_weights(),
            tv_weight=0.0,  # IV: L_final has two terms; the example adds 1e-6·Σ(dx² + dy²)^1.25
            content_loss="sum",  # IV prints ½Σ; the example has Σ
            style_loss="gatys",
        ),
        # V: 3000 epochs of SGD, initial rate 100; the decay is the example's. The rate is for pixels of 0 to 255:
        # with pixels of 0 to 1 the gradient is 255 times as large, and the step must be 255 times as small.
        optimizer=Sgd(iterations=3000, learning_rate=100.0 / 255**2, decay_rate=0.96, decay_steps=100),
        # Not given; the example's 400 rows of a photograph in 3:2. The style's gradient at a pixel goes with one over
        # the number of pixels, so at smaller sizes the same rate is too large: at 128 pixels the loss overflows in
        # the third step; at 600 it falls to a fifth in six. experiments/ahmedabad_vgg has the conversion.
        size=600,
        scales=(600,),
        init="content",  # not given; the example's
        pooling="max",  # III
        padding="zeros",  # III: "same"
    ),
    # The Stanford poster. It prints the losses, and none of the weights, layers or rates.
    "stanford": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),  # not printed; chosen, of Gatys et al.
            style_layers=FIRST_RELUS,  # not printed; chosen, of Gatys et al.
            content_weight=1.0,  # α, not printed; chosen
            # β and w_s, not printed; chosen: the layers in the proportion of gatys-code, at a hundredth of its style
            # weight. At 500 pixels, where conv4_2 has 62² positions, that is 10/C⁴·Σ(G − A)² to
            # 1/(512·62²)·Σ(F − P)². With the whole of it a picture from noise shows nothing of the photograph.
            style_weight=10 * 62**2 / 512**3,
            style_layer_weights=tuple((512 / n) ** 4 for n in CHANNELS_OF_BLOCK),
            tv_weight=1e7,  # γ, not printed; chosen: some of the noise of the start stays, as in the poster
            content_loss="sum",  # L_c: Σ(F − P)²
            # L_s: Σ(G − A)² of G = FF'. Here G is divided by its number of positions N, as in the poster's formula
            # with spatial control; for w_s that go with 1/N² the two are the same.
            style_loss="sum",
            tv_distance="absolute",  # L_v: Σ|dx| + |dy|
            tv_reduction="sum",
        ),
        optimizer=Adam(
            iterations=300, learning_rate=0.02
        ),  # Adam, 300 iterations; the rate is not printed; chosen
        size=500,  # 500×500
        scales=(500,),
        init="noise",  # "we initialize a random image x"
        pooling="max",  # not printed; VGG-19's own
        padding="zeros",
    ),
}
