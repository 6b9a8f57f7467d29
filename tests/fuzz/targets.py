"""What is fuzzed: how a valid input is made, how it is damaged, and what reads it."""

import dataclasses
import importlib.util
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.mutations import damage_arguments, damage_bytes, damage_json, damage_record

Damage = Callable[[bytes, np.random.Generator], bytes]


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        build: makes a valid input in a folder that exists and returns its path, a file or a folder.
        read: reads it; the second argument is a folder for what is written.
        damage: of a file's content.
        names: parts of paths; only files whose path has one of them are damaged. Empty for all.
        weight: share of a campaign, relative to other targets.
    """

    build: Callable[[Path], Path]
    read: Callable[[Path, Path], Any]
    damage: Damage = damage_bytes
    names: tuple[str, ...] = ()
    weight: int = 1


def _picture() -> np.ndarray:
    y, x = np.mgrid[0:24, 0:32]
    return np.stack([8 * y, 8 * x, 255 - 4 * (x + y)], -1).astype(np.uint8)


def _image(suffix: str, **options: Any) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / f"picture{suffix}"
        Image.fromarray(_picture()).save(path, **options)
        return path

    return build


def _animation(suffix: str) -> Callable[[Path], Path]:
    frames = [Image.fromarray(np.roll(_picture(), 4 * k, 1)) for k in range(3)]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 40}

    def build(folder: Path) -> Path:
        path = folder / f"picture{suffix}"
        frames[0].save(path, **options)
        return path

    return build


def _deep_tiff(folder: Path) -> Path:
    import tifffile

    path = folder / "picture.tif"
    tifffile.imwrite(path, _picture().astype(np.uint16) * 257, compression="zlib", photometric="rgb")
    return path


def _deep_png(folder: Path) -> Path:
    path = folder / "picture.png"
    Image.fromarray(_picture()[..., 0].astype(np.uint16) * 257).save(path)
    return path


def _profiled(folder: Path) -> Path:
    from PIL import ImageCms

    path = folder / "picture.jpg"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_picture()).save(path, icc_profile=profile, exif=exif)
    return path


def _read_image(path: Path, out: Path) -> None:
    from nstjax.images import load_image

    image = load_image(path)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def _read_mask(path: Path, out: Path) -> None:
    from nstjax.images.masks import read_masks

    masks = read_masks([str(path)], np.zeros((1, 24, 32, 3), np.float32))
    assert np.isfinite(masks[0].values if hasattr(masks[0], "values") else 0).all()


def _read_folder(path: Path, out: Path) -> None:
    from nstjax.images import find_images

    find_images(path.parent)


def _video(name: str, codec: str, sound: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        from tests.helpers.videos import gradients, write_video

        options = {"movflags": "faststart"} if name.endswith(".mp4") else {}
        pixels = "rgb24" if codec == "png" else "yuv420p"
        return write_video(folder / name, gradients(9), [sound], codec=codec, pixels=pixels, options=options)

    return build


def _read_video(path: Path, out: Path) -> None:
    from nstjax.images.video import change_video
    from nstjax.images.video_input import open_video

    open_video(path)
    for suffix in (".mp4", ".webm"):
        change_video(
            path, out / f"out{suffix}", lambda picture: picture, lambda note: print(note, file=sys.stderr)
        )


def _weights(name: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        from nstjax.weights.store import save_backbone
        from tests.helpers import weight_files
        from tests.helpers.networks import random_backbone, random_params

        params, path = random_params("vgg19", 3), folder / name
        if name == "keras.h5":
            weight_files.write_keras_old(path, params)
        elif name == "vgg.pth":
            weight_files.write_pth(path, weight_files.torch_names(params, "vgg19"))
        elif name == "vgg.safetensors":
            weight_files.write_safetensors(path, weight_files.torch_names(params, "vgg19"))
        elif name == "vgg.npz":
            arrays = {f"{conv}/{kind}": a for conv, layer in params.items() for kind, a in layer.items()}
            np.savez(path, **arrays)  # type: ignore[arg-type]
        elif name == "vgg.mat":
            weight_files.write_matconvnet(path, params, (123.68, 116.779, 103.939))
        elif name == "vgg.whl":
            weight_files.write_codebook_wheel(path, params)
        else:
            save_backbone(random_backbone(), path)
        return path

    return build


def _read_weights(path: Path, out: Path) -> None:
    from nstjax import load_backbone

    backbone = load_backbone(path, "vgg19")
    assert all(np.isfinite(np.asarray(a)).all() for layer in backbone.params.values() for a in layer.values())


def _generator(folder: Path) -> Path:
    import jax

    from nstjax.generators import JohnsonConfig, init_generator
    from nstjax.generators.store import save_generator

    config = JohnsonConfig(width=1 / 16, residual_blocks=1)
    save_generator(
        folder / "model", config, init_generator(config, jax.random.key(0)), {"style": {"name": "a"}}
    )
    return folder / "model"


def _read_generator(path: Path, out: Path) -> None:
    from nstjax.generators.store import load_generator

    load_generator(path)


def _exported(folder: Path) -> Path:
    from nstjax.generators.store import load_generator
    from nstjax.inference.export import export_generator

    export_generator(load_generator(_generator(folder)), folder / "exported.stablehlo", size=(16, 16))
    shutil.rmtree(folder / "model")
    return folder


def _read_exported(path: Path, out: Path) -> None:
    from nstjax.inference.export import load_exported

    load_exported(path / "exported.stablehlo")


def _transfer(folder: Path, *more: str) -> list[str]:
    for name in ("photo", "painting"):
        Image.fromarray(_picture()).save(folder / f"{name}.png")
    files = [str(folder / "photo.png"), str(folder / "painting.png"), "-o", str(folder / "out.png")]
    small = ["--size", "32", "--scales", "32", "--iterations", "2", "-q", "--style-layers", "relu1_1"]
    return ["transfer", *files, "-w", "embedded", *small, "--content-layers", "relu1_1", *more]


def _record(folder: Path) -> Path:
    from nstjax.cli.main import main

    assert main(_transfer(folder)) == 0
    return folder


def _read_record(path: Path, out: Path) -> int:
    """Options and config of a record; the run itself is the same as any."""
    from nstjax.cli.resolve import resolve_command

    record = path / "out.png.run.json"
    resolve_command("transfer", ["--from", str(record), "-o", str(out / "again.png")])
    return 0


def _read_finished(path: Path, out: Path) -> int:
    """The same command again with ``--resume``: a finished run is recognised by its record."""
    from nstjax.cli.main import main

    return main([*_transfer(path), "--resume"])


def _state(folder: Path) -> Path:
    """A run that was stopped: its state is there and its picture is not finished."""
    import os
    import signal

    from nstjax.cli import synthesise as running
    from nstjax.cli.main import main

    arguments = _transfer(folder, "--save-state-every", "1")
    arguments[arguments.index("--iterations") + 1] = "3"
    before = running.transfer

    def stop(*positional: Any, **named: Any) -> Any:
        *rest, callback = positional

        def after(progress: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            return callback(progress)

        return before(*rest, after, **named)

    running.transfer = stop
    try:
        main(arguments)
    finally:
        running.transfer = before
    assert (folder / "out.png.state").exists()
    return folder


def _read_state(path: Path, out: Path) -> int:
    from nstjax.cli.main import main

    arguments = _transfer(path, "--resume")
    arguments[arguments.index("--iterations") + 1] = "3"
    return main(arguments)


def _data(folder: Path) -> Path:
    from tests.helpers.datasets import prepare_folder

    (folder / "photographs").mkdir()
    for k in range(4):
        Image.fromarray(np.roll(_picture(), k, 0)).save(folder / "photographs" / f"{k}.png")
    prepare_folder(folder / "photographs", "mine", str(folder / "sets"))
    shutil.rmtree(folder / "photographs")
    return folder / "sets"


def _read_data(path: Path, out: Path) -> None:
    from nstjax.data import DataConfig, open_batches

    with open_batches(
        DataConfig(source="tfds:mine", data_dir=str(path), size=16, batch_size=2, workers=0)
    ) as batches:
        next(batches)
        next(batches)


def _metrics(folder: Path) -> Path:
    lines = [json.dumps({"step": k, "loss": 1.0 / k, "style": 0.5}) for k in range(1, 5)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _read_metrics(path: Path, out: Path) -> None:
    from nstjax.training.metrics import read_metrics

    read_metrics(path)


def _train(folder: Path) -> Path:
    from nstjax.training import TRAIN_PRESETS

    config = TRAIN_PRESETS["quick"].to_json()
    inputs = {"style": {"path": str(folder / "painting.png"), "sha256": "0" * 64}}
    Image.fromarray(_picture()).save(folder / "painting.png")
    record = {
        "format": 1,
        "command": "train",
        "config": config,
        "inputs": inputs,
        "weights": {"sha256": "0" * 64},
    }
    record |= {"weights_option": {"weights": "embedded"}, "environment": {}}
    (folder / "train.json").write_text(json.dumps(record))
    return folder


def _read_train(path: Path, out: Path) -> int:
    """Refused at the latest for its weights, which are others."""
    from nstjax.cli.main import main

    return main(["train", "-o", str(path), "--resume", "-q"])


def _nothing(folder: Path) -> Path:
    path = folder / "arguments.json"
    path.write_text("[]")
    return path


def _command(name: str, *start: str) -> Target:
    """Options of a command, whose inputs do not exist: it is refused, and so never runs."""

    def damage(content: bytes, rng: np.random.Generator) -> bytes:
        return json.dumps(damage_arguments([name, *start], flags_of(name), rng)).encode()

    def read(path: Path, out: Path) -> int:
        from nstjax.cli.main import main

        arguments = json.loads(path.read_bytes())
        arguments = [
            str(out / argument) if argument.startswith("no_") else argument for argument in arguments
        ]
        return main(arguments)

    return Target(_nothing, read, damage, weight=3)


def flags_of(command: str) -> list[str]:
    """The options of a command, read from its whole help."""
    import contextlib
    import re

    from nstjax.cli.main import main

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([command, "--help-all"])
    found = sorted(set(re.findall(r"--[a-z][a-z0-9-]+", text.getvalue())) - {"--help", "--help-all"})
    assert len(found) >= 3, text.getvalue()
    return found


IMAGES: dict[str, Callable[[Path], Path]] = {
    "png": _image(".png"),
    "jpeg": _image(".jpg"),
    "progressive": _image(".jpg", progressive=True),
    "webp": _image(".webp"),
    "tiff": _image(".tif", compression="tiff_lzw"),
    "tiff16": _deep_tiff,
    "png16": _deep_png,
    "gif": _animation(".gif"),
    "apng": _animation(".png"),
    "webp_animation": _animation(".webp"),
    "bmp": _image(".bmp"),
    "ppm": _image(".ppm"),
    "tga": _image(".tga"),
    "ico": _image(".ico"),
    "jp2": _image(".jp2"),
    "avif": _image(".avif"),
    "icc_and_exif": _profiled,
}
VIDEOS = (
    ("film.mp4", "libx264", "aac"),
    ("film.mov", "png", "aac"),
    ("film.mkv", "ffv1", "flac"),
    ("film.webm", "libvpx-vp9", "libopus"),
    ("film.avi", "mpeg4", "mp2"),
    ("film.ts", "libx264", "aac"),
    ("film.mpg", "mpeg2video", "mp2"),
)
if importlib.util.find_spec("av") is None:
    VIDEOS = ()
WEIGHTS = ("keras.h5", "vgg.pth", "vgg.safetensors", "vgg.npz", "vgg.mat", "vgg.whl", "store")

TARGETS: dict[str, Target] = {
    **{f"image {name}": Target(build, _read_image, weight=3) for name, build in IMAGES.items()},
    **{f"mask {name}": Target(IMAGES[name], _read_mask) for name in ("png", "gif", "tiff16", "webp")},
    **{f"video {video[0]}": Target(_video(*video), _read_video, weight=2) for video in VIDEOS},
    "folder": Target(IMAGES["jpeg"], _read_folder),
    **{f"weights {name}": Target(_weights(name), _read_weights) for name in WEIGHTS},
    "generator": Target(_generator, _read_generator, weight=2),
    "generator record": Target(_generator, _read_generator, damage_record, ("/record/metadata",)),
    "weights record": Target(_weights("store"), _read_weights, damage_record, ("/record/metadata",)),
    "exported": Target(_exported, _read_exported),
    "record": Target(_record, _read_record, damage_json, ("run.json",), weight=8),
    "finished": Target(_record, _read_finished, damage_json, ("run.json",)),
    "state": Target(_state, _read_state, damage_bytes, ("out.png.state",)),
    "state record": Target(_state, _read_state, damage_record, ("/record/metadata",)),
    "metrics": Target(_metrics, _read_metrics, weight=2),
    "train record": Target(_train, _read_train, damage_json, ("train.json",), weight=3),
    "data": Target(_data, _read_data),
    "options transfer": _command("transfer", "no_photo.jpg", "no_painting.jpg", "-o", "no_out.png"),
    "options texture": _command("texture", "no_painting.jpg", "-o", "no_out.png"),
    "options reconstruct": _command("reconstruct", "no_photo.jpg", "-o", "no_out.png"),
    "options stylize": _command("stylize", "no_photo.jpg", "--model", "no_model", "-o", "no_out.png"),
    "options train": _command(
        "train", "--style", "no_painting.jpg", "--data", "no_photographs", "-o", "no_run"
    ),
    "options export": _command("export", "--model", "no_model", "-o", "no_out.stablehlo"),
}
