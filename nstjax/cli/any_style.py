"""``nstjax stylize --style PAINTING`` without ``--model``: one pass in the style of any image."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.arbitrary.apply import (
    Decoder,
    PreparedStyle,
    arbitrary_bytes,
    check_network,
    prepare_programs,
    prepare_style,
    style_pixels,
    stylize_arbitrary,
)
from nstjax.arbitrary.decoder import LEAST_DECODED_SIDE
from nstjax.arbitrary.store import SHIPPED, load_decoder
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.pictures import load_picture
from nstjax.digests import tree_digest
from nstjax.errors import InputError
from nstjax.free_memory import device_bytes
from nstjax.generators.styles import weighted_names
from nstjax.images.io import load_with_alpha
from nstjax.images.mask_spec import mask_files, parse_mask
from nstjax.images.masks import read_masks
from nstjax.inference.memory import check_pass_memory
from nstjax.nn.table import EMBEDDED
from nstjax.typing import Backbone
from nstjax.weights import load_backbone

_OF_THE_IMAGE = ("brighter", "darker")  # masks that depend on the photograph


def split_styles(spec: str) -> list[tuple[Path, float | None]]:
    """Return the files and weights that ``--style`` names.

    Args:
        spec: a file, or several separated by commas, each with an optional weight: ``"a.jpg"``, ``"a.jpg:0.5,b.jpg"``.
            If a file with the whole text as its name exists, it is that file.

    Raises:
        InputError: If a file does not exist, a weight is not valid, or a single image has a weight.
    """
    if Path(spec).is_file():
        return [(Path(spec), None)]
    found = [
        (Path(name), weight)
        for name, weight in weighted_names(spec, "style", lambda name: Path(name).is_file())
    ]
    for path, _ in found:
        if not path.is_file():
            raise InputError(
                f"--style {path} is not a file: name a style image, or the model of the style with --model"
            )
    if len(found) == 1 and found[0][1] is not None:
        raise InputError(f"--style {spec} has a weight for its only image: use --strength for less style")
    return found


@dataclasses.dataclass(frozen=True)
class AnyStyle:
    """The decoder, the embedded network and the style images of a run.

    Attributes:
        options: the options of the command.
        decoder: the decoder.
        backbone: the network it was trained with.
        paths: the files of the style images.
        images: the style images, ``(1, h, w, 3)`` in [0, 1].
        weights: their weights; None with masks.
    """

    options: StylizeOptions
    decoder: Decoder
    backbone: Backbone
    paths: tuple[Path, ...]
    images: tuple[np.ndarray, ...]
    weights: tuple[float, ...] | None
    _masks: dict[tuple[int, int], list[np.ndarray]] = dataclasses.field(default_factory=dict)
    _styles: list[PreparedStyle] = dataclasses.field(default_factory=list)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def _prepared(self, photo: np.ndarray) -> list[PreparedStyle]:
        """Return the prepared style images.

        They are prepared with the first photograph, so that their programs are compiled beside those of the photograph.
        """
        with self._lock:  # several devices
            if not self._styles:
                size = self.options.style_size
                prepare_programs(
                    self.decoder,
                    self.backbone,
                    photo.shape,
                    self.images,
                    style_size=size,
                    styles=len(self.images),
                    masked=bool(self.options.masks),
                    scale_count=self.options.scale_count,
                )
                self._styles.extend([prepare_style(self.backbone, image, size) for image in self.images])
        return self._styles

    def _regions(self, photo: np.ndarray) -> list[np.ndarray] | None:
        """Return the masks for a photograph; frames of one size share them unless they depend on the photograph."""
        specs = self.options.masks
        if not specs:
            return None
        size = (photo.shape[1], photo.shape[2])
        if size in self._masks:
            return self._masks[size]
        masks = [mask.values for mask in read_masks(specs, photo)]
        if len(masks) != len(self.paths):
            raise InputError(f"--masks {_mismatch(len(masks), len(self.paths))}")
        if not any(parse_mask(spec).kind in _OF_THE_IMAGE for spec in specs):
            self._masks[size] = masks
        return masks

    def paint(self, photo: np.ndarray) -> np.ndarray:
        """Stylize a photograph, ``(1, h, w, 3)`` in [0, 1]."""
        masks = self._regions(photo)  # before the programs are compiled
        return stylize_arbitrary(
            self.decoder,
            self.backbone,
            photo,
            self._prepared(photo),
            weights=self.weights,
            masks=masks,
            strength=self.options.strength,
            method=self.options.transport,
            scale_count=self.options.scale_count,
            seed=self.options.seed,
        )

    def check_size(self, height: int, width: int, name: str) -> None:
        """Raise :class:`InputError` if a picture of this size is too small, or does not fit into memory.

        Args:
            height: height in pixels.
            width: width in pixels.
            name: option or argument that set the size, for the message.
        """
        if min(height, width) < LEAST_DECODED_SIDE:
            raise InputError(
                f"{name}: a picture of {width}×{height} pixels is too small: each side must have {LEAST_DECODED_SIDE}"
            )
        needed = arbitrary_bytes(self.decoder.config, height, width, len(self.options.masks))
        check_pass_memory(needed, device_bytes(), height, width, name, "a smaller --size")

    def facts(self) -> dict[str, Any]:
        """Return the entry ``"model"`` of the run record."""
        return {
            "name": SHIPPED,
            "sha256": tree_digest(self.decoder.params),
            "network": self.backbone.sha256,
            "styles": [path.name for path in self.paths],
            **({} if self.weights is None else {"weights": list(self.weights)}),
        }


def _mismatch(regions: int, styles: int) -> str:
    return f"give {regions} regions for {styles} style images: give one for each"


def load_any_style(options: StylizeOptions) -> AnyStyle:
    """Load the style images, the decoder and the embedded network.

    Args:
        options: the options of the command, with ``style``.

    Raises:
        InputError: If a file cannot be read, or the numbers of masks and styles do not match.
    """
    named = split_styles(str(options.style))
    given = [weight for _, weight in named if weight is not None]
    if options.masks and given:
        raise InputError("--style has weights, which have no effect with --masks: leave them out")
    kinds = [parse_mask(spec).kind for spec in options.masks]
    if kinds and "labels" not in kinds and len(kinds) != len(named):
        raise InputError(f"--masks {_mismatch(len(kinds), len(named))}")
    for path in mask_files(options.masks):
        load_with_alpha(path)
    images = [
        load_picture(path, options.style_size) for path, _ in named
    ]  # before the networks, which take longer
    decoder, backbone = load_decoder(), load_backbone(EMBEDDED)
    check_network(decoder, backbone)
    for (path, _), image in zip(named, images, strict=True):
        try:
            height, width = style_pixels(image, options.style_size)
        except InputError as error:
            raise InputError(f"--style {path}: {error}") from error
        needed = arbitrary_bytes(decoder.config, height, width)
        check_pass_memory(needed, device_bytes(), height, width, f"--style {path}", "a smaller --style-size")
    weights = None if options.masks else tuple(1.0 if weight is None else weight for _, weight in named)
    return AnyStyle(options, decoder, backbone, tuple(path for path, _ in named), tuple(images), weights)


def input_files(options: StylizeOptions) -> dict[str, Path]:
    """Return the style images and mask files of a command without ``--model``, by option and number.

    Raises:
        InputError: If ``--style`` or a mask is not valid.
    """
    if options.model is not None or options.style is None:
        return {}
    named = {f"--style {i + 1}": path for i, (path, _) in enumerate(split_styles(options.style))}
    return named | {f"--masks {i + 1}": path for i, path in enumerate(mask_files(options.masks))}
