"""The options of ``nstjax train``, and the records that they give."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from nstjax.cli.options import NetworkOptions
from nstjax.data import DataConfig
from nstjax.errors import InputError
from nstjax.generators import GENERATORS, GeneratorConfig
from nstjax.losses import Objective
from nstjax.training import Cadence, TrainConfig, TrainSettings

DEFAULT_DATA = DataConfig("fake")


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """The network to train; an option that is not its own is refused."""

    generator: Literal["johnson", "ulyanov"] = "johnson"
    """Johnson's image transformation network, or Ulyanov's pyramid with noise."""
    norm: Literal["batch", "instance"] | None = None
    """Batch or instance normalisation."""
    padding: Literal["reflect", "zeros", "circular"] | None = None
    """Of every convolution; circular (ulyanov, textures) makes tiles that fit together."""
    generator_output: Literal["tanh", "linear"] | None = None
    """How the last layer becomes a picture: by a scaled tanh, or as it is."""
    upsampling: Literal["transposed", "nearest", "bilinear"] | None = None
    """johnson: transposed convolutions as in the paper, or upsampling followed by a convolution."""
    width: float | None = None
    """johnson: factor on the numbers of filters."""
    residual_blocks: int | None = None
    """johnson: blocks at a quarter of the size."""
    last_kernel: Literal[9, 3] | None = None
    """johnson: side of the last convolution, 9 as in the paper or 3."""
    scales: int | None = None
    """ulyanov: scales of the pyramid."""
    channels: int | None = None
    """ulyanov: channels that each scale brings."""
    content: bool | None = None
    """ulyanov: whether a photograph goes in; without, the network makes textures of noise alone."""
    join_norm: bool | None = None
    """ulyanov: normalise both sides of a concatenation, as the paper does."""

    def build(self, base: GeneratorConfig) -> GeneratorConfig:
        """The network's record: ``base`` if it is of the kind chosen, with what was given in its place.

        Raises:
            InputError: an option was given that the network does not have.
        """
        kind = GENERATORS[self.generator]
        record = base if type(base) is kind else kind()
        renamed = {"generator_output": "output"}
        own = {field.name for field in dataclasses.fields(kind)}
        given = {}
        for name, value in vars(self).items():
            field = renamed.get(name, name)
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
    """The photographs."""

    data: Annotated[str | None, arg(metavar="FOLDER|tfds:NAME")] = None
    """A folder of photographs, searched with its subfolders; or a data set of TensorFlow Datasets that has images,
    such as tfds:coco/2017 (its split after another colon)."""
    crop: int = 256
    """Side of the squares that the generator is trained on, in pixels."""
    batch_size: int = 4
    """Photographs a step, over all devices and processes."""
    data_seed: int = 0
    """Of the order, the crops and the flips."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """A photograph's short side in units of --crop is drawn from this range before a square is cut out."""
    flip: bool = True
    """Mirror half of them."""
    workers: int = 0
    """Processes that decode; 0 decodes in threads of this one."""
    prefetch: int = 4
    """Batches made ahead."""
    cache: bool = True
    """Keep small photographs in memory once they are decoded."""
    data_dir: str = ""
    """Where TensorFlow Datasets keeps its data sets; its own choice by default."""
    download: bool = False
    """Let TensorFlow Datasets download and prepare a data set that is not there."""

    def build(self) -> DataConfig:
        """The data's record."""
        values = {
            name: value for name, value in vars(self).items() if name not in ("data", "crop", "data_seed")
        }
        return DataConfig(self.data or DEFAULT_DATA.source, size=self.crop, seed=self.data_seed, **values)


@dataclasses.dataclass(frozen=True)
class HostOptions:
    """Several processes that train together; on one machine with several devices none of it is wanted."""

    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Address of process 0, or auto where the cluster tells (Cloud TPU, Slurm)."""
    processes: int | None = None
    """How many there are."""
    process_index: int | None = None
    """This one's number, from 0."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Train a network that paints any photograph in the manner of STYLE in one pass."""

    style: Annotated[Path | None, arg(metavar="PAINTING")] = None
    """The painting."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None
    """The run's folder: model (for nstjax stylize), checkpoints, metrics, samples, train.json."""
    preset: str = "default"
    """Settings to start from; other options change them: default, quick (minutes on a CPU), johnson, ulyanov,
    ulyanov2016, texture, duke or pomona."""
    resume: bool = False
    """Go on from the folder's newest checkpoint; settings are the run's own unless given."""
    samples: Annotated[tuple[Path, ...], arg(metavar="PHOTO")] = ()
    """Photographs to paint now and then, to look at; some of the data by default."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress display."""
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
        """The training's record.

        Args:
            base: of the preset or run, for what the options cannot say of its generator.

        Raises:
            InputError: options contradict each other.
        """
        return TrainConfig(
            **vars(self.settings),
            generator=self.generator.build(base.generator),
            objective=self.objective,
            data=self.data.build(),
        )


def train_defaults(base: TrainConfig) -> dict[str, Any]:
    """The options that a preset or a run record stands for."""
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
