"""Options that the synthesis commands share, as dataclasses; flags, help and defaults are made from them."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from nstjax import optim
from nstjax.errors import InputError
from nstjax.losses import Objective
from nstjax.synthesis import Settings, TransferConfig


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """The optimiser; an option that is not the method's own is refused."""

    optimizer: Literal["lbfgs", "scipy", "adam", "sgd", "optax-lbfgs"] = "lbfgs"
    """jaxopt's L-BFGS; SciPy's L-BFGS-B; Adam; SGD with decay; optax's L-BFGS."""
    history_size: int | None = None
    """lbfgs, scipy, optax-lbfgs: curvature pairs kept."""
    initial_step: float | None = None
    """lbfgs: largest change of a pixel in the first iteration."""
    maxfun: int | None = None
    """scipy: evaluations in a round."""
    rounds: int | None = None
    """scipy: calls, each from the last one's result."""
    learning_rate: float | None = None
    """adam: step in units of the pixel's range [0, 1]; sgd: factor on the gradient with respect to pixels in [0, 1]."""
    b1: float | None = None
    """adam: decay of the mean of gradients."""
    b2: float | None = None
    """adam: decay of the mean of squared gradients."""
    average: float | None = None
    """adam: decay of the average of the iterates, which is then the result; 0 is off."""
    decay_rate: float | None = None
    """sgd: factor on the step every decay-steps iterations."""
    decay_steps: int | None = None
    """sgd: see decay-rate."""
    bounds: tuple[float, float] | None = None
    """scipy, adam, sgd: clamp every step to this range, e.g. 0 1."""

    def build(self, base: optim.Optimizer) -> optim.Optimizer:
        """The optimiser's record: ``base`` if it is of the method chosen, with what was given in its place.

        Raises:
            InputError: an option was given that the method does not have.
        """
        kind = optim.optimizer_class(self.optimizer)
        record = base if type(base) is kind else kind()
        given = {k: v for k, v in vars(self).items() if k != "optimizer" and v is not None}
        own = {field.name for field in dataclasses.fields(kind)}
        for name in given:
            if name not in own:
                raise InputError(
                    f"--{name.replace('_', '-')} does not go with --optimizer {self.optimizer}: leave it out, or "
                    f"choose an optimiser that has it (see nstjax transfer --help)"
                )
        return dataclasses.replace(record, **given)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """The feature network."""

    weights: Annotated[str, arg(aliases=["-w"])] = "auto"
    """auto (VGG-19 where it is installed, else the embedded network), an installed name (nstjax weights list), a
    weights file, or a store's folder."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Which network a weights file is of, where it ends before the two differ."""
    preprocessing: Literal["caffe-bgr", "caffe-rgb", "torchvision"] | None = None
    """Overrules the preprocessing that the file's format implies."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What is common to every command that makes a picture."""

    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT")] = None
    """Where the picture goes: .png, .jpg, .webp or .tiff. OUT.run.json goes beside it."""
    from_record: Annotated[Path | None, arg(name="from", metavar="RUN.json")] = None
    """Repeat the run of this record; images, weights and settings are its own unless given."""
    init_image: Annotated[Path | None, arg(metavar="FILE")] = None
    """Start from this image (implies --init image)."""
    resume: bool = False
    """Go on from the last saved state of a run of the same command that was killed."""
    save_state_every: int = 50
    """Iterations between saved states, kept in OUT.state until the run ends; 0 is never."""
    snapshot_every: int = 0
    """Iterations between snapshots, kept in OUT.snapshots; 0 is none."""
    gif: Annotated[Path | None, arg(metavar="FILE.gif")] = None
    """Write an animation of the run."""
    plot: Annotated[Path | None, arg(metavar="FILE.png")] = None
    """Write a plot of the losses."""
    median_filter: bool = False
    """3×3 median filter of what is saved (never of the iterate)."""
    bits: int = 8
    """Bits a channel: 8, or 16 for .png and .tiff."""
    quality: int = 95
    """Of .jpg and .webp, 1 to 100."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress display."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache, so that the next run starts sooner."""
    network: NetworkOptions = NetworkOptions()
    settings: Settings = Settings()
    objective: Objective = Objective()
    optimizer: OptimizerOptions = OptimizerOptions()

    def config(self, base: TransferConfig) -> TransferConfig:
        """The run's record.

        Args:
            base: of the preset or run record, for what the options cannot say of its optimiser.

        Raises:
            InputError: options contradict each other.
        """
        settings = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}
        if self.init_image is not None:
            settings["init"] = "image"
        elif settings["init"] == "image":
            raise InputError("--init image wants --init-image FILE")
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
    """The defaults of the shared options that a preset or a run record stands for."""
    method = optim.optimizer_name(type(base.optimizer))
    settings = {field.name: getattr(base, field.name) for field in dataclasses.fields(Settings)}
    return {
        "settings": Settings(**settings),
        "objective": base.objective,
        "optimizer": OptimizerOptions(optimizer=method),  # type: ignore[arg-type]
    }
