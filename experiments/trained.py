"""Shared parts of experiments with trained generators: arguments, photographs, and cached training runs."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

import nstjax
from experiments.common import Arguments, Lab, square
from nstjax.data.folder import find_photographs
from nstjax.digests import tree_digest
from nstjax.files import file_digest
from nstjax.generators import Variables
from nstjax.generators.store import Generator, load_generator
from nstjax.losses import Objective
from nstjax.training import Cadence, TrainConfig, TrainingFailed, TrainProgress, read_metrics, train
from nstjax.training.loop import scaled_style
from nstjax.training.step import batch_loss, make_apply, style_targets

LINES = 60  # approximate number of lines of metrics in a training run


@dataclasses.dataclass(frozen=True)
class TrainArguments(Arguments):
    """Command-line arguments of an experiment with training runs."""

    weights: str = "embedded-v1"
    """Name of installed weights, a weights file, or the folder of a store. The default made the shown figures."""
    photographs: Path = Path("photographs")
    """Folder of training photographs, searched with its subfolders."""
    full: bool = False
    """Use the image size and number of steps of the report, on a GPU; also give --weights vgg19."""
    steps: int | None = None
    """Steps of each training run, instead of the experiment's own number."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained generator and the course of its training.

    Attributes:
        generator: the generator at the end, or at the last saved step if the training failed; None if none
            was saved.
        config: settings of the training, with named layers.
        lines: lines of metrics.
        seconds_a_step: seconds per step: the lower quartile over the lines, so that compilation and other
            load on the machine have no influence.
        failure: reason why the training failed; empty if it did not.
    """

    generator: Generator | None
    config: TrainConfig
    lines: list[dict[str, float]]
    seconds_a_step: float
    failure: str

    @property
    def seconds(self) -> float:
        """Duration of all steps in seconds."""
        return self.seconds_a_step * self.config.steps

    @property
    def final_loss(self) -> float:
        """Mean loss over the last tenth of the lines."""
        last = [line["loss"] for line in self.lines[-max(1, len(self.lines) // 10) :]]
        return float(np.mean(last))


class TrainLab(Lab):
    """A :class:`Lab` that also trains generators.

    Training runs are cached: an interrupted run is resumed, a finished one is loaded.

    Args:
        arguments: arguments of the command line.
        folder: folder of the experiment.
    """

    def __init__(self, arguments: TrainArguments, folder: Path) -> None:
        super().__init__(arguments, folder)
        self._photographs = arguments.photographs

    def choose_photographs(self, count: int, held_out: int = 0) -> tuple[list[Path], list[Path]]:
        """Choose training photographs and held-out ones; always the same ones of a folder.

        Args:
            count: number of training photographs; if there are fewer, all except the others.
            held_out: number of held-out photographs.

        Returns:
            The training photographs and the held-out ones.

        Raises:
            InputError: there are no more than ``held_out`` photographs.
        """
        names = find_photographs(self._photographs)
        if len(names) <= held_out:
            raise nstjax.InputError(
                f"{self._photographs} has {len(names)} photographs, and {held_out} are held out: add more"
            )
        order = np.random.default_rng(0).permutation(len(names))
        apart, chosen = order[:held_out], order[held_out : held_out + count]
        return [self._photographs / names[i] for i in sorted(chosen)], [
            self._photographs / names[i] for i in sorted(apart)
        ]

    def squares(self, count: int, side: int) -> Path:
        """Return a folder of photographs resized to squares, as in the Duke report.

        Args:
            count: number of photographs.
            side: side of the squares in pixels.
        """
        chosen, _ = self.choose_photographs(count)
        contents = _digest(*(part for path in chosen for part in (path.name, file_digest(path))))
        folder = self._kept / f"squares_{side}_{contents}"
        folder.mkdir(exist_ok=True)
        for i, path in enumerate(chosen):  # numbered, because two folders may have files of one name
            if not (target := folder / f"{i:06d}_{path.stem}.png").exists():
                nstjax.save_image(target, square(nstjax.load_image(path), side))
        return folder

    def links(self, photographs: list[Path]) -> Path:
        """Return a folder with symbolic links to the photographs."""
        folder = self._kept / f"links_{_digest(*(str(path.absolute()) for path in photographs))}"
        folder.mkdir(exist_ok=True)
        for i, path in enumerate(photographs):
            link = folder / f"{i:06d}_{path.name}"
            if not link.is_symlink():
                os.symlink(path.absolute(), link)
        return folder

    def train(
        self,
        label: str,
        config: TrainConfig,
        style: np.ndarray | list[np.ndarray],
        start: Variables | None = None,
        sample_every: int = 0,
    ) -> Trained:
        """Train a generator for one or several style images, or load the result of an equal run.

        If the loss becomes non-finite, the result is the last saved generator and the reason of the failure.

        Args:
            label: name of the run.
            config: settings of the training.
            style: the style image, ``(1, h, w, 3)`` in [0, 1], or one for each style of the generator.
            start: initial weights; by default random ones.
            sample_every: steps between sample pictures; 0 makes none.
        """
        config = config.for_backbone(self.backbone)
        inputs = [image.tobytes() for image in (style if isinstance(style, list) else [style])]
        inputs += [] if start is None else [str(tree_digest(start["params"])).encode()]
        source = Path(config.data.source)
        known = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source.name))
        identity = _digest(json.dumps([known.to_json(), self.backbone.describe()]), *inputs)
        folder = self._kept / f"{label}_{identity}"
        failure = ""
        generator = _finished(folder, config.steps)
        if generator is None:
            print(f"{label}: {config.steps} steps", flush=True)
            cadence = Cadence(
                log_every=max(1, config.steps // LINES),
                checkpoint_every=max(1, min(config.steps // 5, 250)),
                sample_every=sample_every,
                keep=1,
            )
            try:
                generator = train(
                    config,
                    style,
                    self.backbone,
                    folder,
                    _tell(label),
                    cadence=cadence,
                    about={"label": label},
                    start=start,
                )
            except TrainingFailed as error:
                failure = str(error)
                print(f"{label}: {failure}", flush=True)
                if (folder / "model").exists():
                    generator = load_generator(folder)
        lines = read_metrics(folder)
        speeds = [config.data.batch_size / line["images_per_second"] for line in lines]
        pace = float(np.quantile(speeds, 0.25)) if speeds else float("nan")
        trained = Trained(generator, config, lines, pace, failure)
        objective = config.objective
        entry = {
            "steps": config.steps,
            "last_line": lines[-1] if lines else {},
            "final_loss": trained.final_loss if lines else None,
            "seconds_a_step": round(pace, 4),
            "failure": failure,
            "generator": config.to_json()["generator"],
            "learning_rate": config.learning_rate,
            "schedule": config.schedule,
            "batch_size": config.data.batch_size,
            "crop": config.data.size,
            "content_layers": objective.used_content_layers,
            "style_layers": objective.style_layers,
            "weights": f"{self.backbone.arch}, {self.backbone.source}",
        }
        self.record(label, entry)
        return trained

    def losses_of(
        self, config: TrainConfig, style: np.ndarray, image: np.ndarray, photograph: np.ndarray
    ) -> dict[str, float]:
        """Compute the training losses ``content`` and ``style`` of one image, unweighted.

        Args:
            config: settings of the training.
            style: its style image.
            image: the image to measure, ``(1, h, w, 3)``.
            photograph: the photograph it was made from, of the same shape.
        """
        config = config.for_backbone(self.backbone)
        record = dataclasses.replace(config.objective, content_weight=1.0, style_weight=1.0, tv_weight=0.0)
        config = dataclasses.replace(config, objective=record)
        targets = style_targets(config, self.backbone, scaled_style(config, style))
        _, terms = _loss(record, make_apply(config), self.backbone, targets, image, photograph)
        kinds: dict[str, float] = {"content": 0.0, "style": 0.0}
        for name, value in terms.items():
            kinds[name.split("/")[0]] += float(value)
        return kinds


_loss = jax.jit(batch_loss, static_argnums=(0, 1))


def _digest(*parts: str | bytes) -> str:
    joined = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(joined).hexdigest()[:16]


def _finished(folder: Path, steps: int) -> Generator | None:
    """Load the generator of a finished run; return None if there is none with that number of steps."""
    if not (folder / "model").is_dir():
        return None
    generator = load_generator(folder)
    return generator if generator.record.get("steps") == steps else None


def _tell(label: str) -> Any:
    def tell(progress: TrainProgress) -> None:
        if progress.step % 100 == 0:
            print(f"{label}: step {progress.step}, loss {progress.loss:.4g}", flush=True)

    return tell


def caption_of(config: TrainConfig, lab: Lab) -> str:
    """Return weights, layers, size and steps of a training, for the title of a figure."""
    objective: Objective = config.for_backbone(lab.backbone).objective
    layers = f"style {', '.join(objective.style_layers)}"
    if objective.used_content_layers:
        layers += f"; content {', '.join(objective.used_content_layers)}"
    return (
        f"{lab.backbone.arch}, {lab.backbone.source}\n{layers}; {config.data.size} px, {config.steps} steps "
        f"of {config.data.batch_size}"
    )
