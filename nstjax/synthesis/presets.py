"""Named settings: the defaults, quick looks, and the choices of papers and programs."""

from nstjax.losses import Objective
from nstjax.optim import Adam, Lbfgs
from nstjax.synthesis.config import TransferConfig

_FIRST_CONVS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

PRESETS: dict[str, TransferConfig] = {
    # Three scales, losses relative to their targets, layers by what the weights have.
    "default": TransferConfig(optimizer=Lbfgs(iterations=150), size=512),
    # A look in a fraction of the time.
    "fast": TransferConfig(optimizer=Lbfgs(iterations=60), size=256),
    # Gatys et al. 2016, section 2 and 3: conv4_2 and conv1_1…conv5_1 (their rectified activations, as in
    # the authors' code), average pooling, 512 pixels, white noise, L-BFGS; α/β = 1e-3, w_l = 1/5.
    "gatys": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),
            style_layers=_FIRST_CONVS,
            content_weight=1.0,
            style_weight=1e3,
            tv_weight=0.0,
            content_loss="half_sum",
            style_loss="gatys",
        ),
        optimizer=Lbfgs(iterations=500),
        scales=(512,),
        init="noise",
        padding="zeros",
    ),
    # style-transfer-pytorch (FIELD: content 0.015 and style 256, 64, 16, 4, 1 over 341, Adam 0.02, the
    # average of the iterates, √2 between scales); its nine-point TV is here the plain squared one.
    "crowson": TransferConfig(
        objective=Objective(
            content_layers=("relu4_2",),
            style_layers=_FIRST_CONVS,
            content_weight=0.015,
            style_weight=1.0,
            style_layer_weights=tuple(w / 341 for w in (256.0, 64.0, 16.0, 4.0, 1.0)),
            tv_weight=2.0,
            content_loss="mean",
            style_loss="johnson",
            tv_distance="squared",
        ),
        optimizer=Adam(learning_rate=0.02, b1=0.9, b2=0.99, average=0.99, bounds=(0.0, 1.0)),
        scales=(128, 181, 256, 362, 512),
        iterations=(1000, 500, 500, 500, 500),
        pooling="max",
        padding="replicate",
    ),
}
