"""Options shared by the synthesis commands, as dataclasses from which flags, help and defaults are made."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from nstjax import optim
from nstjax.cli.help import Required, fallbacks
from nstjax.errors import InputError
from nstjax.losses import Objective
from nstjax.optim.sgd import RATE_PER_VALUE
from nstjax.synthesis import Settings, TransferConfig

LOSS_GROUPS = {
    "style loss": (
        *("objective.style_*", "objective.kernel_*", "objective.bandwidth", "objective.window*"),
        *("objective.blend", "objective.guidance"),
    ),
    "content loss": ("content_layer", "objective.content_*"),
    "total variation loss": ("objective.tv_*",),
}
"""Groups of the loss's options in ``--help-all``; see :class:`nstjax.cli.help.Layout`."""
SYNTHESIS_GROUPS = {
    "image and region": (
        *("fine_style", "init_image", "proportions", "*style_weights", "*masks", "*_regions", "region_*"),
        *("settings.style_scale", "settings.style_size", "settings.*mask_carry"),
        *("objective.blend", "objective.guidance"),
    ),
    "strength and color": ("settings.style_strength", "strength_grid", "settings.colors*"),
    "scale": ("settings.size", "settings.scales", "settings.iterations", "settings.loss_tolerance"),
    "initial image": ("settings.init", "settings.noise", "settings.seed"),
    **LOSS_GROUPS,
    "optimizer": ("optimizer.*",),
    "video": ("video.*",),
    "feature network": ("network.*", "settings.pooling*", "settings.padding"),
    "output": ("output", "snapshot_every", "gif", "plot", "median_filter", "bits", "quality"),
    "runtime": (
        *("resume", "save_state_every", "quiet", "compilation_cache", "cluster"),
        *("settings.precision", "settings.tile", "settings.shard"),
    ),
}
"""Groups of the synthesis commands' options in ``--help-all``."""


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """The optimizer; options of other optimizers are refused."""

    optimizer: Literal["lbfgs", "scipy", "adam", "sgd", "optax-lbfgs"] = "lbfgs"
    """L-BFGS of JAXopt (lbfgs) or Optax, L-BFGS-B of SciPy, Adam, or gradient descent. A preset sets options of its own optimizer only."""
    history_size: int | None = None
    """lbfgs, scipy, optax-lbfgs: number of stored curvature pairs."""
    initial_step: float | None = None
    """lbfgs: largest change of a pixel in the first iteration."""
    maxfun: int | None = None
    """scipy: maximum number of evaluations in a round."""
    rounds: int | None = None
    """scipy: number of rounds; each starts from the result of the one before."""
    learning_rate: float | None = None
    """adam: step size, for pixels in [0, 1]. sgd: factor on the gradient with respect to pixels in [0, 1]."""
    b1: float | None = None
    """adam: decay rate of the mean gradient."""
    b2: float | None = None
    """adam: decay rate of the mean squared gradient."""
    average: float | None = None
    """adam: decay rate of an exponential moving average of the iterates, which becomes the result; 0 turns it off."""
    decay_rate: float | None = None
    """sgd: factor by which the step size decreases over `decay_steps` iterations; it decreases smoothly, in every iteration."""
    decay_steps: int | None = None
    """sgd: number of iterations over which the factor `decay_rate` applies."""
    bounds: Annotated[tuple[float, float] | None, arg(metavar="MIN MAX")] = None
    """scipy, adam, sgd: range of the pixels, for example 0 1. scipy keeps them in it; adam and sgd clip them to it after each step."""

    def build(self, base: optim.Optimizer) -> optim.Optimizer:
        """Return the optimizer: ``base``, or a default one if another method is chosen, with the given options.

        Raises:
            InputError: If an option was given that the method does not have.
        """
        kind = optim.optimizer_class(self.optimizer)
        record = base if type(base) is kind else kind()
        given = {k: v for k, v in vars(self).items() if k != "optimizer" and v is not None}
        own = {field.name for field in dataclasses.fields(kind)}
        for name in given:
            if name not in own:
                raise InputError(
                    f"--{name.replace('_', '-')} does not go with --optimizer {self.optimizer}: leave it out, or "
                    f"choose an optimizer that has it (see nstjax transfer --help-all)"
                )
        return dataclasses.replace(record, **given)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """The feature network."""

    weights: Annotated[str, arg(aliases=["-w"])] = "auto"
    """Weights of the feature network: auto (VGG-19 if installed, else the embedded network), a name from nstjax weights list, a weights file, or a folder of converted weights."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Architecture (vgg16 or vgg19) of a weights file that ends before the two differ, at conv3_4."""
    preprocessing: Literal["caffe-bgr", "caffe-rgb", "torchvision"] | None = None
    """Preprocessing of the weights; by default recognized from the file."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of every command that makes a picture."""

    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT"), Required()] = None
    """The result: .png, .jpg, .webp or .tiff. Its record is OUT.run.json."""
    from_record: Annotated[Path | None, arg(name="from", metavar="RUN.json")] = None
    """Repeat the run of a record, with the changes that other options make."""
    init_image: Annotated[Path | None, arg(metavar="FILE")] = None
    """Image to start from; implies --init image."""
    resume: bool = False
    """Resume an interrupted run from its last saved state."""
    save_state_every: int = 50
    """Iterations between saved states, which are in OUT.state until the run ends; 0 saves none."""
    snapshot_every: int = 0
    """Iterations between snapshots, which are in OUT.snapshots; 0 saves none."""
    gif: Annotated[Path | None, arg(metavar="FILE.gif")] = None
    """Write an animation of the run."""
    plot: Annotated[Path | None, arg(metavar="FILE.png")] = None
    """Write a plot of the losses."""
    median_filter: bool = False
    """Apply a 3×3 median filter to the result and the snapshots; the optimization does not see it."""
    bits: int = 8
    """Bits per channel: 8, or 16 for .png and .tiff."""
    quality: int = 95
    """Quality of .jpg and .webp files, from 1 to 100."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache, so that the next run starts sooner."""
    network: NetworkOptions = NetworkOptions()
    settings: Settings = Settings()
    objective: Objective = Objective()
    optimizer: OptimizerOptions = OptimizerOptions()

    def config(self, base: TransferConfig) -> TransferConfig:
        """Return the config of the run.

        Args:
            base: config of the preset or run record, for settings of its optimizer that have no option.

        Raises:
            InputError: If options contradict each other.
        """
        settings = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}
        if self.init_image is not None:
            settings["init"] = "image"
        elif settings["init"] == "image":
            raise InputError("--init image needs --init-image FILE")
        if settings["scales"] and settings["scales"] == base.scales and settings["size"] != base.size:
            # A preset names its scales and the user a size: the same pyramid, smaller or larger.
            ratio = settings["size"] / base.scales[-1]
            settings["scales"] = tuple(max(1, round(side * ratio)) for side in base.scales)
        if settings["scales"]:
            settings["size"] = settings["scales"][-1]
        return TransferConfig(
            **settings, objective=self.objective, optimizer=self.optimizer.build(base.optimizer)
        )


def shared_defaults(base: TransferConfig) -> dict[str, Any]:
    """Return the defaults of the shared options for the config of a preset or a run record."""
    method = optim.optimizer_name(type(base.optimizer))
    settings = {field.name: getattr(base, field.name) for field in dataclasses.fields(Settings)}
    return {
        "settings": Settings(**settings),
        "objective": base.objective,
        "optimizer": OptimizerOptions(optimizer=method),  # type: ignore[arg-type]
    }


def optimizer_fallbacks(base: TransferConfig) -> dict[str, str]:
    """Return the text that the help shows as the default of each optimizer option, by path.

    The defaults depend on the optimizer; see :func:`nstjax.cli.help.fallbacks`.

    Args:
        base: config of the preset or run record.
    """
    records = {
        name: base.optimizer if type(base.optimizer) is kind else kind()
        for name, kind in optim.OPTIMIZERS.items()
    }
    paths = {
        f"optimizer.{field.name}": field.name
        for field in dataclasses.fields(OptimizerOptions)
        if field.name != "optimizer"
    }
    rate = f"{RATE_PER_VALUE:g} times the number of values of the result"
    return fallbacks(records, {**paths, "settings.iterations": "iterations"}, {"learning_rate": rate})
