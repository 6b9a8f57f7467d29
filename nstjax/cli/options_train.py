"""The options of ``nstjax train`` and the configs made from them."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import DisallowNone, arg

from nstjax.cli.help import Choices, Layout, Required, fallbacks
from nstjax.cli.options import LOSS_GROUPS, NetworkOptions
from nstjax.data import DataConfig
from nstjax.errors import InputError
from nstjax.generators import GENERATORS, GeneratorConfig
from nstjax.losses import Objective
from nstjax.training import Cadence, TrainConfig, TrainSettings
from nstjax.training.presets import TRAIN_PRESET_NOTES

DEFAULT_DATA = DataConfig("fake")
_FIELDS = {"generator_output": "output"}  # fields of the generators' configs under another name


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """The generator to train; options of other generators are refused."""

    generator: Literal["johnson", "ulyanov"] = "johnson"
    """johnson (Johnson et al. 2016) or ulyanov (Ulyanov et al. 2016), which has a noise input."""
    norm: Literal["batch", "instance"] | None = None
    """Batch or instance normalization."""
    padding: Literal["reflect", "zeros", "circular"] | None = None
    """Padding of all convolutions; circular (ulyanov, textures) makes seamless tiles."""
    generator_output: Literal["tanh", "linear"] | None = None
    """Activation of the last layer: a scaled tanh, or none."""
    upsampling: Literal["transposed", "nearest", "bilinear"] | None = None
    """johnson: transposed convolutions as in the paper, or upsampling followed by a convolution."""
    width: float | None = None
    """johnson: factor on the numbers of filters, which are 32, 64, 128 and so on."""
    downsamplings: int | None = None
    """johnson: number of convolutions of stride 2, 2 in the paper; with more, a pixel depends on a larger part of the photograph."""
    residual_blocks: int | None = None
    """johnson: number of residual blocks."""
    skips: Annotated[bool | None, DisallowNone] = None
    """johnson: connect arrays of the same size before and after the residual blocks, as in U-Net."""
    noise: int | None = None
    """johnson: channels of noise at every level; flat areas get strokes from them."""
    up_norm: Annotated[bool | None, DisallowNone] = None
    """johnson: normalize after the upsamplings too, as in the paper; without it, deep networks make no bright spots."""
    last_kernel: Literal[9, 3] | None = None
    """johnson: kernel size of the last convolution, 9 as in the paper or 3."""
    scales: int | None = None
    """ulyanov: number of scales."""
    channels: int | None = None
    """ulyanov: channels of each scale."""
    content: Annotated[bool | None, DisallowNone] = None
    """ulyanov: take a photograph as input; otherwise the generator makes textures from noise."""
    join_norm: Annotated[bool | None, DisallowNone] = None
    """ulyanov: normalize both inputs of a concatenation, as in the paper."""

    def build(self, base: GeneratorConfig) -> GeneratorConfig:
        """Return the generator's config: ``base``, or a default one if another generator is chosen, with the given options.

        Raises:
            InputError: If an option was given that the network does not have.
        """
        kind = GENERATORS[self.generator]
        record = base if type(base) is kind else kind()
        own = {field.name for field in dataclasses.fields(kind)}
        given = {}
        for name, value in vars(self).items():
            field = _FIELDS.get(name, name)
            if name == "generator" or value is None:
                continue
            if field not in own:
                raise InputError(
                    f"--{name.replace('_', '-')} does not go with --generator {self.generator}: leave it out"
                )
            given[field] = value
        return dataclasses.replace(record, **given)


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """The training photographs."""

    data: Annotated[str | None, arg(metavar="FOLDER|tfds:NAME"), Required()] = None
    """A folder of photographs, with its subfolders, or a data set of TensorFlow Datasets, such as tfds:coco/2017 or tfds:coco/2017:validation; textures need none."""
    crop: int = 256
    """Side of the training crops in pixels."""
    batch_size: int = 4
    """Photographs in each step, over all devices and processes."""
    data_seed: int = 0
    """Seed of the order, the crops and the flips."""
    zoom: Annotated[tuple[float, float], arg(metavar="MIN MAX")] = (1.0, 1.0)
    """Before cropping, the shorter side of a photograph is resized to a random size between MIN and MAX times --crop."""
    flip: bool = True
    """Mirror half of the crops."""
    workers: int = 0
    """Processes that decode photographs; 0 uses threads."""
    prefetch: int = 4
    """Number of batches to prepare in advance."""
    cache: bool = True
    """Keep decoded small photographs in memory."""
    data_dir: str = ""
    """Folder with the data sets of TensorFlow Datasets; by default the one that it uses itself."""
    download: bool = False
    """Download and prepare the data set if it is missing."""

    def build(self) -> DataConfig:
        """Return the config of the data."""
        values = {
            name: value for name, value in vars(self).items() if name not in ("data", "crop", "data_seed")
        }
        return DataConfig(self.data or DEFAULT_DATA.source, size=self.crop, seed=self.data_seed, **values)


@dataclasses.dataclass(frozen=True)
class HostOptions:
    """Several processes that train together; not needed for several devices of one machine."""

    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Address of process 0, or auto on clusters that JAX detects (Cloud TPU, Slurm)."""
    processes: int | None = None
    """Number of processes."""
    process_index: int | None = None
    """Index of this process, counted from 0."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Train a generator that stylizes any photograph in one pass, with one style or with several."""

    usage: ClassVar[tuple[str, ...]] = (
        "--style PAINTING [PAINTING ...] --data FOLDER -o FOLDER [OPTIONS]",
        "-o FOLDER --resume [OPTIONS]",
    )
    layout: ClassVar[Layout] = Layout(
        essential=(
            *("style", "data.data", "output", "preset", "settings.steps", "settings.learning_rate"),
            *("data.batch_size", "data.crop", "settings.style_size", "generator.generator"),
            *("objective.style_weight", "objective.content_weight", "objective.tv_weight"),
            *("network.weights", "samples", "settings.seed", "resume", "quiet"),
        ),
        groups={
            "generator": ("generator.*", "init_from", "add_to", "settings.parameters"),
            "training photograph": ("data.*",),
            "style image": ("settings.style_size",),
            **LOSS_GROUPS,
            "feature network": ("network.*", "settings.pooling"),
            "optimizer": ("settings.*",),
            "output": ("output", "samples", "cadence.*"),
            "runtime": ("resume", "quiet", "compilation_cache"),
            "several processes": ("hosts.*",),
        },
        refused=("--blend", "--guidance"),
        texts={
            "objective.window_weight": "Weight, relative to β, of an additional style loss on overlapping windows, "
            "which makes a texture even; gram only.",
        },
    )

    style: Annotated[tuple[Path, ...], arg(metavar="PAINTING ..."), Required()] = ()
    """The style image, or several for one generator of several styles."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER"), Required()] = None
    """Folder of the run: model (for nstjax stylize), checkpoints, metrics, samples and train.json."""
    preset: Annotated[str, arg(metavar="NAME"), Choices(TRAIN_PRESET_NOTES)] = "default"
    """Settings to start from; other options change them."""
    resume: bool = False
    """Resume the run in the output folder from its newest checkpoint."""
    add_to: Annotated[str | None, arg(metavar="NAME|FOLDER")] = None
    """Add the styles to a trained generator with instance normalization: only their scales and biases are trained, and the model has the earlier styles and the new ones."""
    init_from: Annotated[str | None, arg(metavar="NAME|FOLDER")] = None
    """Start from the weights of a trained generator with instance normalization instead of random ones. The preset quick starts from gallery, unless an option changes the network."""
    samples: Annotated[tuple[Path, ...], arg(metavar="PHOTO ...")] = ()
    """Photographs for sample pictures during training; by default some of the training photographs."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache, so that the next run starts sooner."""
    network: NetworkOptions = NetworkOptions()
    generator: GeneratorOptions = GeneratorOptions()
    data: DataOptions = DataOptions()
    settings: TrainSettings = TrainSettings()
    objective: Objective = Objective()
    cadence: Cadence = Cadence()
    hosts: HostOptions = HostOptions()

    def config(self, base: TrainConfig) -> TrainConfig:
        """Return the config of the training run.

        Args:
            base: config of the preset or run, for settings of its generator that have no option.

        Raises:
            InputError: If options contradict each other.
        """
        settings = vars(self.settings)
        if self.add_to is not None:
            settings = {**settings, "parameters": "norms"}
        return TrainConfig(
            **settings,
            generator=self.generator.build(base.generator),
            objective=self.objective,
            data=self.data.build(),
        )


def train_defaults(base: TrainConfig) -> dict[str, Any]:
    """Return the options for the config of a preset or a run record."""
    kind = next(name for name, kind in GENERATORS.items() if type(base.generator) is kind)
    data = {
        name: value
        for name, value in vars(base.data).items()
        if name not in ("source", "size", "seed", "shuffle")
    }
    settings = {field.name: getattr(base, field.name) for field in dataclasses.fields(TrainSettings)}
    return {
        "generator": GeneratorOptions(generator=kind),  # type: ignore[arg-type]
        "data": DataOptions(
            data=None
            if base.data == DEFAULT_DATA or base.data.source == DEFAULT_DATA.source
            else base.data.source,
            crop=base.data.size,
            data_seed=base.data.seed,
            **data,
        ),
        "settings": TrainSettings(**settings),
        "objective": base.objective,
    }


def generator_fallbacks(base: GeneratorConfig) -> dict[str, str]:
    """Return the defaults of the generator's options for the help; see :func:`nstjax.cli.help.fallbacks`.

    Args:
        base: config of the preset or run record.
    """
    records = {name: base if type(base) is kind else kind() for name, kind in GENERATORS.items()}
    paths = {
        f"generator.{field.name}": _FIELDS.get(field.name, field.name)
        for field in dataclasses.fields(GeneratorOptions)
        if field.name != "generator"
    }
    return fallbacks(records, paths)
