"""``nstjax stylize --style PAINTING`` without ``--model``: one pass in the style of any image."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.arbitrary.apply import Decoder, arbitrary_bytes, style_moments, stylize_arbitrary
from nstjax.arbitrary.store import SHIPPED, load_decoder
from nstjax.arbitrary.transport import ActivationMoments, TransportMethod
from nstjax.cli.pictures import load_picture
from nstjax.digests import tree_digest
from nstjax.errors import InputError
from nstjax.free_memory import device_bytes
from nstjax.images.masks import read_masks
from nstjax.images.opening import MAX_PIXELS
from nstjax.nn.table import EMBEDDED
from nstjax.reports import file_facts
from nstjax.typing import Backbone
from nstjax.weights import load_backbone


def split_styles(spec: str) -> list[tuple[Path, float]]:
    """Return the files and weights that ``--style`` names.

    Args:
        spec: a file, or several separated by commas, each with an optional weight: ``"a.jpg"``, ``"a.jpg:0.5,b.jpg"``.
            A file whose name has a comma or a colon is taken as it is if it exists.

    Raises:
        InputError: If a file does not exist.
    """
    if Path(spec).is_file():
        return [(Path(spec), 1.0)]
    found = []
    for part in spec.split(","):
        name, weight = part.strip(), 1.0
        before, colon, after = name.rpartition(":")
        if colon and not Path(name).is_file():
            with contextlib.suppress(ValueError):  # the message below names the whole
                name, weight = before, float(after)
        if not Path(name).is_file():
            raise InputError(
                f"--style {name} is not a file: name a style image, or the model of the style with --model"
            )
        if not 0 <= weight < float("inf"):
            raise InputError(f"--style {spec}: the weight of {name} is {weight}: it must be 0 or more")
        found.append((Path(name), weight))
    if not sum(weight for _, weight in found) > 0:
        raise InputError(f"--style {spec}: the weights are all 0: give one image a weight")
    return found


@dataclasses.dataclass(frozen=True)
class AnyStyle:
    """The decoder, the embedded network and the style images of a run.

    Attributes:
        decoder: the decoder.
        backbone: the network it was trained with.
        paths: the files of the style images.
        moments: their moments.
        weights: their weights.
        masks: mask specs, one region for each style image; empty for none.
        method: the map of the activations.
        strength: 0 to 1.
        seed: seed of the noise.
    """

    decoder: Decoder
    backbone: Backbone
    paths: tuple[Path, ...]
    moments: tuple[list[ActivationMoments], ...]
    weights: tuple[float, ...]
    masks: tuple[str, ...]
    method: TransportMethod
    strength: float
    seed: int

    def paint(self, photo: np.ndarray) -> np.ndarray:
        """Stylize a photograph, ``(1, h, w, 3)`` in [0, 1]."""
        masks = None
        if self.masks:
            masks = [mask.values for mask in read_masks(self.masks, photo)]
            if len(masks) != len(self.paths):
                raise InputError(
                    f"--masks give {len(masks)} regions for {len(self.paths)} style images: give one for each"
                )
        return stylize_arbitrary(
            self.decoder,
            self.backbone,
            photo,
            self.moments,
            weights=None if masks else self.weights,
            masks=masks,
            strength=self.strength,
            method=self.method,
            seed=self.seed,
        )

    def check_size(self, height: int, width: int, name: str) -> None:
        """Raise :class:`InputError` if a picture of this size does not fit into memory.

        Args:
            height: height in pixels.
            width: width in pixels.
            name: option or argument that set the size, for the message.
        """
        needed, there = arbitrary_bytes(self.decoder.config, height, width), device_bytes()
        if height * width > MAX_PIXELS or needed > there:
            raise InputError(
                f"{name}: a picture of {width}×{height} pixels needs about {needed / 2**30:.1f} GiB, and {there / 2**30:.1f} "
                f"GiB are free: choose a smaller --size"
            )

    def facts(self) -> dict[str, Any]:
        """Return the entry ``"model"`` of the run record."""
        styles = [
            {"name": path.name, "sha256": file_facts(path)["sha256"], "weight": weight}
            for path, weight in zip(self.paths, self.weights, strict=True)
        ]
        hashes = {"sha256": tree_digest(self.decoder.params), "network": self.backbone.sha256}
        return {"name": SHIPPED, **hashes, "styles": styles}


def load_any_style(
    spec: str, masks: Sequence[str], method: TransportMethod, strength: float, seed: int, side: int
) -> AnyStyle:
    """Load the style images, the decoder and the embedded network.

    Args:
        spec: the value of ``--style``.
        masks: mask specs.
        method: the map of the activations.
        strength: 0 to 1.
        seed: seed of the noise.
        side: longer side in pixels of the resized style images.

    Raises:
        InputError: If a file cannot be read or the numbers of masks and styles do not match.
    """
    named = split_styles(spec)
    images = [load_picture(path) for path, _ in named]  # before the networks, which take longer
    decoder, backbone = load_decoder(), load_backbone(EMBEDDED)
    return AnyStyle(
        decoder,
        backbone,
        tuple(path for path, _ in named),
        tuple(style_moments(backbone, image, side) for image in images),
        tuple(weight for _, weight in named),
        tuple(masks),
        method,
        strength,
        seed,
    )
