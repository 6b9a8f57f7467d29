"""Exports a generator as a StableHLO program that contains its weights and needs only JAX."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

import nstjax
from nstjax.errors import InputError, within
from nstjax.files import cannot_write, check_replaceable, replacing
from nstjax.generators import config_to_json, draw_noise, generate
from nstjax.generators.store import Generator
from nstjax.generators.styles import one_style
from nstjax.inference.memory import check_generator_memory
from nstjax.inference.photograph import MAX_OUTPUT_SIDE, MAX_SCALE, stylize, takes_photographs
from nstjax.pixels import check_image
from nstjax.plain import checked, read_json
from nstjax.typing import Images

_FORMAT = 1
PLATFORMS = ("cpu", "cuda", "tpu")
SMALLEST_SIDE = 3  # pixels of a side at the coarsest scale; reflection needs two different borders
CHECKED_SIDE = 64  # approximate side of the random image with which the program is checked
TOLERANCE = 1e-4
_KIND = "exported generator"


class _Header(TypedDict):
    """The fields of the header that are read back."""

    format: int
    sha256: str
    takes_noise: bool
    takes_photograph: bool
    size: list[int] | None
    multiple: int
    least_side: int
    versions: dict[str, str]


def header_path(path: Path) -> Path:
    """Return the path of the header, ``FILE.json`` beside the program. It describes the program's inputs and output."""
    return path.with_name(f"{path.name}.json")


@dataclasses.dataclass(frozen=True)
class ExportedGenerator:
    """An exported generator that was loaded.

    Attributes:
        program: the result of ``jax.export.deserialize``.
        header: the content of :func:`header_path`.
    """

    program: Any
    header: dict[str, Any]

    def __call__(self, image: Images | None = None, seed: int = 0, noise_scale: float = 1.0) -> np.ndarray:
        """Stylize a photograph, or make a texture.

        If the program takes only multiples of a size, the photograph is padded by reflection and the result is
        cropped, as the generator itself does.

        Args:
            image: ``(1, h, w, 3)``, floating point, sRGB in [0, 1]; ignored by a generator of textures.
            seed: seed of the noise; ignored by programs without noise.
            noise_scale: the noise is uniform in [0, ``noise_scale``]; ignored by programs without noise.

        Returns:
            ``(1, h, w, 3)`` float32 in [0, 1].

        Raises:
            InputError: If the image has a shape that the program does not take, is not floating point, or has values
                that are not finite or not about in [0, 1]; if ``seed`` is out of range; or if the noise scale is
                beyond ±:data:`MAX_SCALE`.
        """
        within("noise_scale", noise_scale, -MAX_SCALE, MAX_SCALE)
        within("seed", seed, 0, 2**32 - 1)
        rest = (np.uint32(seed), np.float32(noise_scale)) if self.header["takes_noise"] else ()
        if not self.header["takes_photograph"]:
            return np.asarray(self.program.call(*rest))
        if image is None:
            raise InputError(
                "the exported program takes an image of shape (1, height, width, 3): give it one"
            )
        photo = check_image("image", image)
        height, width = photo.shape[1:3]
        fixed, multiple, least = (self.header[key] for key in ("size", "multiple", "least_side"))
        if fixed is not None and [height, width] != fixed:
            raise InputError(f"the exported program takes {fixed[1]}×{fixed[0]} pixels, not {width}×{height}")
        if fixed is None:
            if min(height, width) < least:
                raise InputError(
                    f"the exported program takes {least}×{least} pixels or more, not {width}×{height}"
                )
            photo = np.pad(
                photo, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)), "reflect"
            )
        return np.asarray(self.program.call(photo, *rest))[:, :height, :width]


def _export(generator: Generator, size: tuple[int, int] | None) -> Any:
    """Export a generator with ``jax.export``; the height and width are symbolic if ``size`` is None."""
    from jax import export

    config, variables = generator.config, generator.variables
    plan = config.plan()
    noisy = any(name.startswith("noise") for name, _ in plan.inputs)

    def drawn(height: int, width: int, seed: jax.Array, scale: jax.Array) -> tuple[jax.Array, ...]:
        return draw_noise(config, jax.random.key(seed)[None], height, width, scale)

    def paint(image: jax.Array, *rest: jax.Array) -> jax.Array:
        noise = drawn(image.shape[1], image.shape[2], *rest) if noisy else ()
        return generate(config, variables, image, noise).clip(0.0, 1.0)

    def texture(seed: jax.Array, scale: jax.Array) -> jax.Array:
        assert size is not None
        return generate(config, variables, None, drawn(*size, seed, scale), size=size).clip(0.0, 1.0)

    inputs = [jax.ShapeDtypeStruct((), jnp.uint32), jax.ShapeDtypeStruct((), jnp.float32)] if noisy else []
    if not takes_photographs(generator):
        return export.export(jax.jit(texture), platforms=PLATFORMS)(*inputs)
    sides = size or export.symbolic_shape(
        f"{plan.multiple}*a, {plan.multiple}*b",
        constraints=[f"a >= {SMALLEST_SIDE}", f"b >= {SMALLEST_SIDE}"],
    )
    image = jax.ShapeDtypeStruct((1, *sides, 3), jnp.float32)
    return export.export(jax.jit(paint), platforms=PLATFORMS)(image, *inputs)


def _header(
    generator: Generator, program: Any, size: tuple[int, int] | None, content: bytes
) -> dict[str, Any]:
    """Return the header of an exported program."""
    plan = generator.config.plan()
    photograph = takes_photographs(generator)
    noisy = any(name.startswith("noise") for name, _ in plan.inputs)
    meanings = [
        *([("image", "a photograph, sRGB in [0, 1]")] if photograph else []),
        *([("seed", "of the noise"), ("noise_scale", "the noise is uniform in [0, this]")] if noisy else []),
    ]
    return {
        "kind": _KIND,
        "format": _FORMAT,
        "sha256": hashlib.sha256(content).hexdigest(),
        "program": "read by jax.export.deserialize; weights are inside",
        "inputs": [
            {"name": name, "shape": [str(n) for n in of.shape], "dtype": str(of.dtype), "what": what}
            for (name, what), of in zip(meanings, program.in_avals, strict=True)
        ],
        "output": {
            "shape": [str(n) for n in program.out_avals[0].shape],
            "dtype": str(program.out_avals[0].dtype),
            "what": "the picture, sRGB in [0, 1]",
        },
        "platforms": list(program.platforms),
        "takes_photograph": photograph,
        "takes_noise": noisy,
        "size": None if size is None else list(size),
        "multiple": plan.multiple,
        "least_side": SMALLEST_SIDE * plan.multiple,
        "generator": config_to_json(generator.config),
        "versions": {"nstjax": nstjax.__version__, "jax": jax.__version__, "jaxlib": jaxlib.__version__},
    }


def _difference(generator: Generator, exported: ExportedGenerator, size: tuple[int, int] | None) -> float:
    """Return the largest difference between the results of the exported program and of the generator.

    Both stylize the same random image, or make a texture with the same seed.
    """
    multiple = generator.config.plan().multiple
    cells = max(SMALLEST_SIDE, CHECKED_SIDE // multiple)
    height, width = size or (multiple * cells + 1, multiple * (cells + 1))  # one side needs padding
    photo = np.random.default_rng(0).uniform(size=(1, height, width, 3)).astype(np.float32)
    if not takes_photographs(generator):
        own = stylize(generator, None, seed=5, tile=0, size=(height, width))
        return float(np.abs(exported(seed=5) - own).max())
    return float(np.abs(exported(photo, seed=5) - stylize(generator, photo, seed=5, tile=0)).max())


def export_generator(
    generator: Generator,
    path: str | Path,
    size: tuple[int, int] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write a generator as a program that JAX runs on CPU, CUDA and TPU without nstjax.

    The program takes ``image``, ``(1, h, w, 3)`` float32 sRGB in [0, 1], and, if the network needs noise,
    ``seed``, uint32, and ``noise_scale``, float32. It draws the same noise as :func:`nstjax.inference.stylize`.
    The program of a texture network takes no image. It returns an image of the same shape, clipped to [0, 1].
    The height and width can be any multiples of the network's multiple (4 for Johnson's), unless ``size`` fixes
    them.

    Before the file is written, the program is deserialized and its result for a random image is compared with the
    generator's. If the files cannot be written, those of an earlier export stay.

    Args:
        generator: the generator, of one style; :func:`nstjax.generators.styles.select_style` selects one of several.
        path: the file to write; its header is written to :func:`header_path`.
        size: fixed height and width in pixels; required for a texture network.
        say: called with a message about the comparison.

    Returns:
        The header.

    Raises:
        InputError: If the generator has several styles, a texture network is given no size, the size is out of range or needs too much memory, the
            package flatbuffers is missing, the program's result differs from the generator's, or the path or its
            folder may not be written.
        OutputError: If the files cannot be written.
    """
    path, generator = Path(path), one_style(generator)
    if size is None and not takes_photographs(generator):
        raise InputError(
            "the generator makes textures, and a program of it has a fixed size: give `size` HEIGHT WIDTH"
        )
    if size is not None:
        for side in size:
            within("size", side, 1, MAX_OUTPUT_SIDE, " pixels")
        # The comparison runs the program on the whole image at once.
        check_generator_memory(generator.config.plan(), *size, 0, "`size`", "a smaller `size`")
    try:
        program = _export(generator, size)
        content = bytes(program.serialize())
    except ImportError as error:
        raise InputError("export needs the package flatbuffers: pip install flatbuffers") from error
    header = _header(generator, program, size, content)
    difference = _difference(generator, ExportedGenerator(_deserialize(content), header), size)
    if not difference <= TOLERANCE:  # NaN too
        raise InputError(
            f"the exported program differs from the generator by {difference:.2g}: nothing was written; check the "
            f"model's weights for NaN, or export it with another version of JAX"
        )
    say(f"checked: a random photograph's picture differs from the generator's by {difference:.1g} at most")
    header["checked"] = {"largest_difference": difference}
    _write(path, content, json.dumps(header, indent=1).encode())
    return header


def _write(path: Path, content: bytes, header: bytes) -> None:
    """Write a program and its header. If one cannot be written, neither earlier file is replaced."""
    for file in (header_path(path), path):
        check_replaceable(file)
    try:
        # Both temporary files are complete before the first one replaces a file: with a header of another program,
        # a program cannot be loaded.
        with replacing(header_path(path)) as described, replacing(path) as written:
            described.write_bytes(header)
            written.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _deserialize(content: bytes) -> Any:
    from jax import export

    return export.deserialize(bytearray(content))


def _is_possible(header: _Header) -> bool:
    """Return True if all sizes in a header are positive, and a fixed size has two sides."""
    size = header["size"]
    counts = (header["multiple"], header["least_side"], *(size or ()))
    return (size is None or len(size) == 2) and all(count >= 1 for count in counts)


def load_exported(path: str | Path) -> ExportedGenerator:
    """Read a program that :func:`export_generator` wrote.

    An exported file is code: calling the result runs it. The hash in its header detects damage, not a forged
    file. Load only files from sources that you trust.

    Args:
        path: the program; its header is beside it.

    Raises:
        InputError: If the program or its header is missing or damaged, they do not belong together, they have a
            later format, or this version of JAX cannot read the program.
    """
    path = Path(path)
    try:
        content = path.absolute().read_bytes()
        plain = read_json(header_path(path.absolute()))
        if plain["kind"] != _KIND:
            raise ValueError("another kind")
        later = plain["format"] > _FORMAT
        header = plain if later else checked(plain, _Header, "the header")
        if not later and not _is_possible(header):
            raise ValueError("an impossible size")
        same = header["sha256"] == hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename}: {error.strerror}; an exported program and its .json lie side by side"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # an InputError is a ValueError
        raise InputError(
            f"{header_path(path)} is not the header of an exported program: export it again"
        ) from error
    if later:
        raise InputError(f"{path} was written by a newer nstjax (format {header['format']}): upgrade nstjax")
    if not same:
        raise InputError(f"{path} is damaged, or not the file of its .json: export or copy both again")
    wanted = header["takes_photograph"] + 2 * header["takes_noise"]
    try:
        program = _deserialize(content)
        if len(program.in_avals) != wanted:
            raise ValueError("a program of other inputs than its header's")
        return ExportedGenerator(program, header)
    except Exception as error:  # a JAX version that is too old may raise any exception
        raise InputError(
            f"this JAX cannot read {path}: it was written by JAX {header['versions'].get('jax')}"
        ) from error
