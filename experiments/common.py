"""Shared parts of all experiments: arguments, the making of figures, cached transfer runs, and measures."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import ndimage

import nstjax
from nstjax import Style, StyleRegion
from nstjax.files import replacing, write_atomically
from nstjax.heap import keep_freed_memory
from nstjax.images import fit_long_side, resize
from nstjax.losses import Objective
from nstjax.losses.statistics import STATISTICS
from nstjax.nn.table import FIRST_RELUS
from nstjax.optim import ScipyLbfgsb
from nstjax.pixels import LUMA
from nstjax.reports import environment
from nstjax.synthesis.styles import Styles
from nstjax.typing import Backbone

STYLE_WEIGHTS = {name: kind.default_weights["squared"] for name, kind in STATISTICS.items()}
"""Style weight for each statistic, to a content weight of 1, with relative losses and the whole VGG-19."""
ABSOLUTE_STYLE_WEIGHT = STATISTICS["gram"].default_weights["absolute"]
CONTENT_LAYERS = ("relu4_2",)  # Gatys et al. 2016; the style layers are FIRST_RELUS
EQUAL_WEIGHTS = Objective(style_layers=FIRST_RELUS)
"""The default objective with equal weights of the style layers, also for the embedded network."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments of an experiment."""

    weights: str = "vgg19"
    """Name of installed weights, a weights file, or the folder of a store."""
    images: Path = Path("images")
    """Folder with subfolders content/ and style/ of images."""
    out: Path | None = None
    """Folder for the figures; by default a folder figures/ beside the experiment's code."""
    figures: tuple[str, ...] = ()
    """Names of the figures to make, which are names of functions of the experiment; by default all. Entries
    of other figures in results.json are kept if they were made with the same weights.
    """


class Lab:
    """Inputs and outputs of one experiment, with a cache of transfer runs.

    Because of the cache, figures can be made again quickly.

    ``results.json`` holds the runs by label, the ``measures`` and the ``environment``. Its entry ``figures``
    lists for each figure the runs and measures that belong to it, and the weights they were made with.

    Args:
        arguments: arguments of the command line.
        folder: folder of the experiment; the figures are written to its subfolder ``figures`` by default.

    Attributes:
        backbone: the feature network.
        images: folder of the images.
        out: folder of the figures.
        results: content of ``results.json``.
    """

    def __init__(self, arguments: Arguments, folder: Path) -> None:
        keep_freed_memory()
        self.backbone = nstjax.load_backbone(arguments.weights)
        self.images = arguments.images
        self.out = arguments.out or folder / "figures"
        self.out.mkdir(parents=True, exist_ok=True)
        self._kept = self.out / "runs"
        self._kept.mkdir(exist_ok=True)
        self.results: dict[str, Any] = {}
        self._wanted, self._figure = arguments.figures, ""

    def make(self, *figures: Callable[[Any], None], **named: Callable[[Any], None]) -> None:
        """Make the figures named by ``--figures``, or all, and write ``results.json`` after each.

        Args:
            figures: functions that take the lab and make a figure; their names are the names of the figures.
            named: more such functions, under the given names.

        Raises:
            InputError: ``--figures`` names an unknown figure.
        """
        known = {figure.__name__: figure for figure in figures} | named
        for name in self._wanted:
            if name not in known:
                raise nstjax.InputError(
                    f"--figures {name} does not exist: the figures are {', '.join(known)}"
                )
        chosen = self._wanted or tuple(known)
        if self._wanted:
            self._keep_results([name for name in known if name not in chosen])
        self._wanted = ()
        for name in chosen:
            self._figure = name
            known[name](self)
            self.finish()

    def refuse_figures(self) -> None:
        """Check that ``--figures`` was not given; for experiments that do not use :meth:`make`.

        Raises:
            InputError: it was given.
        """
        if self._wanted:
            raise nstjax.InputError(
                "--figures: this experiment makes all of its figures at once; leave it out"
            )

    def _keep_results(self, others: list[str]) -> None:
        """Copy the entries of other figures from an existing ``results.json`` if their weights are equal."""
        path = self.out / "results.json"
        earlier = json.loads(path.read_text()) if path.exists() else {}
        for name in others:
            made = earlier.get("figures", {}).get(name)
            if made is None or made["weights"] != self._weights():
                continue
            self.results.setdefault("figures", {})[name] = made
            for label in made["runs"]:
                self.results[label] = earlier[label]
            for label in made["measures"]:
                self.results.setdefault("measures", {})[label] = earlier["measures"][label]

    def _weights(self) -> str:
        about = self.backbone.describe()
        return f"{about['arch']} to {about['deepest_layer']}, {about['source']}, {about['sha256'][:16]}"

    def _belongs(self, kind: str, label: str) -> None:
        """Record that a run or a measure belongs to the figure that is being made."""
        if self._figure:
            fresh: dict[str, Any] = {"weights": self._weights(), "runs": [], "measures": []}
            labels = self.results.setdefault("figures", {}).setdefault(self._figure, fresh)[kind]
            if label not in labels:
                labels.append(label)

    def record(self, label: str, entry: dict[str, Any]) -> None:
        """Store the entry of a run for ``results.json``."""
        self.results[label] = entry
        self._belongs("runs", label)

    def picture(self, kind: str, name: str) -> np.ndarray:
        """Load the image ``images/<kind>/<name>`` with any suffix; return ``(1, h, w, 3)`` in [0, 1].

        Raises:
            InputError: there is no such image.
        """
        found = sorted((self.images / kind).glob(f"{name}.*"))
        if not found:
            raise nstjax.InputError(
                f"{self.images / kind} has no picture {name!r}: name another folder with --images"
            )
        return nstjax.load_image(found[0])

    def mask(self, name: str, side: int) -> np.ndarray:
        """Load ``images/masks/<name>`` as ``(h, w)`` in [0, 1], where 1 is inside.

        The mask is scaled down so that its longer side has at most ``side`` pixels.
        """
        return luminance(fit(self.picture("masks", name), side))

    def names(self, kind: str) -> list[str]:
        """Return the names (without suffix) of the images in ``images/<kind>``."""
        return [path.stem for path in nstjax.images.find_images(self.images / kind)]

    def run(
        self,
        label: str,
        content: np.ndarray | None,
        style: Styles | None,
        config: nstjax.TransferConfig,
        backbone: Backbone | None = None,
        snapshots: tuple[int, ...] = (),
    ) -> "Run":
        """Run a transfer, or return the cached result of an equal run.

        Runs are equal if inputs, weights, settings and snapshots are equal. Without a style, the run is a
        reconstruction of the content image; without a content image, it is a texture.

        Args:
            label: name of the run in ``results.json`` and of its cached file.
            content: the photograph, ``(1, h, w, 3)`` in [0, 1], or None.
            style: the style image or images, or None.
            config: settings of the transfer.
            backbone: feature network, by default the lab's.
            snapshots: iterations (rounds for SciPy's L-BFGS-B) whose images are kept.
        """
        backbone = backbone or self.backbone
        config = config.for_backbone(backbone)
        identity = json.dumps([config.to_json(), backbone.describe(), snapshots])
        arrays, layout = jax.tree.flatten([None if content is None else content, _plain(style)])
        inputs = b"".join(np.asarray(a).tobytes() for a in arrays)
        plain = isinstance(content, np.ndarray) and isinstance(style, np.ndarray)
        named = identity if plain else identity + str(layout)
        digest = hashlib.sha256(named.encode() + inputs).hexdigest()[:16]
        path = self._kept / f"{label}_{digest}.npz"
        if not path.exists():
            frames: dict[str, np.ndarray] = {}
            began = time.perf_counter()

            def keep(progress: Any) -> None:
                entry = progress.entry
                if isinstance(config.optimizer, ScipyLbfgsb) and snapshots:
                    # Counted in rounds: SciPy's saved state is that of the start of the current round.
                    x, rounds = progress.state().saved.leaves
                    if int(rounds) in snapshots:
                        frames[f"frame_{int(rounds)}"] = x.clip(0, 1)
                elif entry.iteration in snapshots:
                    frames[f"frame_{entry.iteration}"] = progress.image()
                if entry.iteration % 100 == 0:
                    print(f"{label}: iteration {entry.iteration}, loss {entry.loss:.4g}", flush=True)

            if content is None:
                assert style is not None
                result = nstjax.texture(style, backbone, config, keep)  # type: ignore[arg-type]
            elif style is None:
                result = nstjax.reconstruct(content, backbone, config, keep)
            else:
                result = nstjax.transfer(content, style, backbone, config, keep)
            history = [dataclasses.asdict(entry) for entry in result.history]
            with replacing(path) as temporary:  # a complete file is a finished run
                np.savez_compressed(
                    temporary,
                    image=result.image,
                    history=json.dumps(history),
                    seconds=time.perf_counter() - began,
                    **frames,  # type: ignore[arg-type]
                )
        with np.load(path) as kept:
            pictures = {int(k.removeprefix("frame_")): kept[k] for k in kept.files if k.startswith("frame_")}
            run = Run(
                kept["image"], json.loads(str(kept["history"])), float(kept["seconds"]), pictures, config
            )
        final = run.history[-1]
        entry = {
            "loss": final["loss"],
            "terms": final["terms"],
            "iterations": len(run.history),
            "seconds": round(run.seconds, 1),
            "content_layers": config.objective.content_layers,
            "style_layers": config.objective.style_layers,
            "weights": f"{backbone.arch}, {backbone.source}",
        }
        self.record(label, entry)
        return run

    def note(self, name: str, value: object) -> None:
        """Store a measure for ``results.json``, and print it."""
        self.results.setdefault("measures", {})[name] = value
        self._belongs("measures", name)
        print(f"{name}: {value}", flush=True)

    def finish(self) -> None:
        """Write ``results.json``.

        Raises:
            InputError: ``--figures`` was given to an experiment that makes all of its figures at once.
        """
        self.refuse_figures()
        self.results["environment"] = environment()
        write_atomically(self.out / "results.json", json.dumps(self.results, indent=1).encode())


def _plain(style: Any) -> Any:
    """Return styles and regions as nested lists of arrays and numbers, for hashing."""
    if isinstance(style, StyleRegion):
        return [style.mask, style.weight, [_plain(s) for s in style.styles]]
    if isinstance(style, Style):
        return [style.image, style.mask, style.weight]
    return [_plain(s) for s in style] if isinstance(style, list | tuple) else style


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of a transfer.

    Attributes:
        image: the image, ``(1, h, w, 3)`` in [0, 1].
        history: one entry per iteration, with ``loss`` and ``terms`` among its fields.
        seconds: run time.
        frames: snapshots ``(1, h, w, 3)`` by iteration.
        config: settings of the transfer, with named layers.
    """

    image: np.ndarray
    history: list[dict[str, Any]]
    seconds: float
    frames: dict[int, np.ndarray]
    config: nstjax.TransferConfig


def fit(image: np.ndarray, long_side: int) -> np.ndarray:
    """Scale an image down so that its longer side has at most ``long_side`` pixels; keep the aspect ratio."""
    height, width = fit_long_side(image.shape[1], image.shape[2], min(long_side, max(image.shape[1:3])))
    return np.asarray(resize(image, height, width)).clip(0, 1)


def square(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image to a square, without keeping its aspect ratio, as in the Duke report.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        side: side of the result in pixels.
    """
    return np.asarray(resize(image, side, side)).clip(0, 1)


def luminance(image: np.ndarray) -> np.ndarray:
    """Return the Rec. 601 luma of an image, ``(h, w)``."""
    return image.reshape(image.shape[-3:]) @ np.array(LUMA, np.float32)


def detail_correlation(image: np.ndarray, content: np.ndarray, sigma: float = 2.0) -> float:
    """Measure how much of a photograph's fine detail an image keeps.

    The measure is Pearson's correlation of the two luminances after subtraction of a Gaussian blur: 1 for the
    photograph itself, about 0 for an unrelated image. It does not depend on brightness and contrast.

    Args:
        image: ``(1, h, w, 3)``.
        content: the photograph, of the same shape.
        sigma: standard deviation of the blur in pixels.
    """
    a, b = (luminance(x) for x in (image, content))
    high = [x - ndimage.gaussian_filter(x, sigma) for x in (a, b)]
    return float(np.corrcoef(high[0].ravel(), high[1].ravel())[0, 1])


def complexity(image: np.ndarray) -> float:
    """Return the mean absolute difference of neighboring pixels at 256×256; small for plain images."""
    return float(nstjax.losses.total_variation(square(image, 256), "absolute", "mean"))


def caption(run: Run, backbone: Backbone, content: bool = True) -> str:
    """Return the weights and layers of a run, for the title of a figure."""
    o = run.config.objective
    layers = f"style {', '.join(o.style_layers)}"
    if content:
        layers += f"; content {', '.join(o.content_layers)}"
    return f"{backbone.arch}, {backbone.source}\n{layers}"
