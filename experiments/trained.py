"""What experiments with trained generators share: their options, photographs, and trainings that are kept."""

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
from nstjax.generators.store import Generator, load_generator
from nstjax.losses import Objective
from nstjax.training import Cadence, TrainConfig, TrainingFailed, TrainProgress, read_metrics, train
from nstjax.training.loop import scaled_style
from nstjax.training.step import batch_loss, make_apply, style_targets

LINES = 60  # of metrics in a training, about


@dataclasses.dataclass(frozen=True)
class TrainArguments(Arguments):
    """What an experiment with trainings is run with."""

    weights: str = "embedded"
    """An installed name, a weights file, or a store's folder."""
    photographs: Path = Path("photographs")
    """A folder of photographs to train on, searched with its subfolders."""
    full: bool = False
    """The size and the steps of the report, for a GPU; give --weights vgg19 with it."""
    steps: int | None = None
    """Steps of every training, in place of the experiment's own."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A generator and its training.

    Attributes:
        generator: at its last finite checkpoint; None if there was none.
        config: with its layers named.
        lines: of metrics.
        seconds_a_step: the lower quartile over the lines, so that compilation and other work on the machine do not
            count.
        failure: why it ended early; empty if it did not.
    """

    generator: Generator | None
    config: TrainConfig
    lines: list[dict[str, float]]
    seconds_a_step: float
    failure: str

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return self.seconds_a_step * self.config.steps

    @property
    def final_loss(self) -> float:
        """Mean of the last tenth of the lines."""
        last = [line["loss"] for line in self.lines[-max(1, len(self.lines) // 10) :]]
        return float(np.mean(last))


class TrainLab(Lab):
    """A :class:`Lab` that also trains; a training that was interrupted goes on, a finished one is read."""

    def __init__(self, arguments: TrainArguments, folder: Path) -> None:
        super().__init__(arguments, folder)
        self._photographs = arguments.photographs

    def choose_photographs(self, count: int, kept_apart: int = 0) -> tuple[list[Path], list[Path]]:
        """Photographs to train on, and others that no training sees; always the same ones of a folder.

        Args:
            count: of the first; all but the others where there are fewer.
            kept_apart: of the others.
        """
        names = find_photographs(self._photographs)
        if len(names) <= kept_apart:
            raise nstjax.InputError(
                f"{self._photographs} has {len(names)} photographs, and {kept_apart} are kept apart: add some"
            )
        order = np.random.default_rng(0).permutation(len(names))
        apart, chosen = order[:kept_apart], order[kept_apart : kept_apart + count]
        return [self._photographs / names[i] for i in sorted(chosen)], [
            self._photographs / names[i] for i in sorted(apart)
        ]

    def squares(self, count: int, side: int) -> Path:
        """A folder of so many photographs, each resized to a square as report 000 did."""
        chosen, _ = self.choose_photographs(count)
        folder = self._kept / f"squares_{side}_{_digest(*(str(path.name) for path in chosen))}"
        folder.mkdir(exist_ok=True)
        for path in chosen:
            if not (target := folder / f"{path.stem}.png").exists():
                nstjax.save_image(target, square(nstjax.load_image(path), side))
        return folder

    def links(self, photographs: list[Path]) -> Path:
        """A folder with a link to each of these photographs."""
        folder = self._kept / f"links_{_digest(*(str(path.absolute()) for path in photographs))}"
        folder.mkdir(exist_ok=True)
        for i, path in enumerate(photographs):
            link = folder / f"{i:06d}_{path.name}"
            if not link.is_symlink():
                os.symlink(path.absolute(), link)
        return folder

    def train(self, label: str, config: TrainConfig, style: np.ndarray) -> Trained:
        """A generator of a painting, or what an equal training left.

        A loss that ceases to be finite is a result like others: the last checkpoint stands.
        """
        config = config.for_backbone(self.backbone)
        source = Path(config.data.source)
        known = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source.name))
        identity = _digest(json.dumps([known.to_json(), self.backbone.describe()]), style.tobytes())
        folder = self._kept / f"{label}_{identity}"
        failure = ""
        generator = _finished(folder, config.steps)
        if generator is None:
            print(f"{label}: {config.steps} steps", flush=True)
            cadence = Cadence(
                log_every=max(1, config.steps // LINES),
                checkpoint_every=max(1, config.steps // 5),
                sample_every=0,
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
        """What a training minimises, of one picture: ``content`` and ``style``, unweighted.

        Args:
            config: of the training.
            style: its painting.
            image: the picture.
            photograph: what it was made from.
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
    """The generator of a finished training; None where there is none."""
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
    """Weights, layers and size really used, for the title of a figure."""
    objective: Objective = config.for_backbone(lab.backbone).objective
    layers = f"style {', '.join(objective.style_layers)}"
    if objective.used_content_layers:
        layers += f"; content {', '.join(objective.used_content_layers)}"
    return (
        f"{lab.backbone.arch}, {lab.backbone.source}\n{layers}; {config.data.size} px, {config.steps} steps "
        f"of {config.data.batch_size}"
    )
