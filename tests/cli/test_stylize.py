"""``nstjax stylize`` and the function behind it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile
from PIL import Image

import nstjax
import nstjax.cli.stylize_command
from nstjax.cli.main import main
from nstjax.errors import InputWarning
from nstjax.generators import JohnsonConfig, UlyanovConfig, draw_noise, generate, init_generator
from nstjax.generators.store import Generator, load_generator, save_generator
from nstjax.images.animation import encode_animation, open_animation
from nstjax.images.color import luminance
from nstjax.inference import stylize, takes_photographs
from nstjax.inference.photograph import CPU_BAND_PIXELS, CPU_WHOLE_PIXELS, WHOLE_PIXELS, rows_for
from tests.helpers.videos import facts, write_video

CONFIGS = {
    "johnson": JohnsonConfig(width=1 / 32, residual_blocks=0),
    "ulyanov": UlyanovConfig(scales=2, channels=1, norm="instance"),
    "texture": UlyanovConfig(scales=2, channels=1, content=False),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generators."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in CONFIGS.items():
        save_generator(folder / name, config, init_generator(config, jax.random.key(5)), {"steps": 1})
    return folder


@pytest.fixture(scope="module")
def generators(models: Path) -> dict[str, Generator]:
    return {name: load_generator(models / name) for name in CONFIGS}


@pytest.fixture
def folder(tmp_path: Path, pictures, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a photograph, and models installed by name."""
    nstjax.save_image(tmp_path / "photo.png", pictures[0])
    (tmp_path / "ckpts").symlink_to(models)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, model: str = "johnson") -> int:
    return main(["stylize", *arguments, "-m", model, "-q", "--no-compilation-cache"])


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


# The function.


def test_stylize_is_the_network_clipped(generators, pictures) -> None:
    photo = pictures[0]
    for name in ("johnson", "ulyanov"):
        generator = generators[name]
        noise = draw_noise(generator.config, jax.random.key(7)[None], *photo.shape[1:3], 0.5)
        expected = jax.jit(generate, static_argnums=0)(generator.config, generator.variables, photo, noise)
        tile = 0 if name == "ulyanov" else 16  # in one piece, and in bands
        found = stylize(generator, photo, seed=7, noise_scale=0.5, tile=tile)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-5)


def test_seeds_and_noise(generators, pictures) -> None:
    photo, ulyanov, johnson = pictures[0], generators["ulyanov"], generators["johnson"]
    one = stylize(ulyanov, photo, seed=1, tile=0)
    np.testing.assert_array_equal(one, stylize(ulyanov, photo, seed=1, tile=0))
    assert np.abs(one - stylize(ulyanov, photo, seed=2, tile=0)).max() > 1e-3
    assert np.abs(one - stylize(ulyanov, photo, seed=1, noise_scale=0, tile=0)).max() > 1e-3
    np.testing.assert_array_equal(stylize(johnson, photo, seed=1), stylize(johnson, photo, seed=2))


def test_bands_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_for(4096, 4096) == max(32, CPU_BAND_PIXELS // 4096)
    assert rows_for(1, CPU_WHOLE_PIXELS) == 0
    assert rows_for(1, CPU_WHOLE_PIXELS + 1) > 0
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert rows_for(1080, 1920) == 0
    assert 0 < rows_for(4096, 4096) * 4096 <= WHOLE_PIXELS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 3}, "`tile` is 3: it must be between 16"),
        ({"tile": -1}, "`tile` is -1: it must be between 16"),
        ({"noise_scale": np.nan}, "`noise_scale` is nan"),
    ],
)
def test_what_stylize_refuses(generators, pictures, options, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        stylize(generators["ulyanov"], pictures[0], **options)


def test_what_does_not_go_with_the_network(generators, pictures) -> None:
    assert takes_photographs(generators["johnson"])
    assert not takes_photographs(generators["texture"])
    with pytest.raises(nstjax.InputError, match="makes textures of noise alone: give it no photograph"):
        stylize(generators["texture"], pictures[0])
    with pytest.raises(nstjax.InputError, match="needs a photograph: give it one"):
        stylize(generators["johnson"], None)
    with pytest.raises(nstjax.InputError, match="give its height and width"):
        stylize(generators["texture"], None)
    with pytest.raises(nstjax.InputError, match=r"shape \(48, 64, 3\): it must be"):
        stylize(generators["johnson"], pictures[0][0])


# The command.


def test_a_photograph_and_its_record(folder: Path, capsys) -> None:
    assert run("photo.png", "-o", "out.png", "--seed", "3") == 0
    assert capsys.readouterr() == ("", "")
    expected = stylize(load_generator("johnson"), nstjax.load_image("photo.png"), seed=3)
    assert np.abs(pixels("out.png") - 255 * expected[0]).max() <= 0.501
    record = json.loads((folder / "out.png.run.json").read_text())
    assert record["model"]["name"] == "johnson"
    assert len(record["model"]["sha256"]) == 64
    assert record["config"]["seed"] == 3
    assert record["inputs"]["0"]["path"] == str(folder / "photo.png")
    with Image.open("out.png") as picture:
        inside = json.loads(picture.info["nstjax"])
    assert inside["photograph"] == "photo.png"
    assert str(folder) not in json.dumps(inside)
    assert sorted(p.name for p in folder.iterdir()) == ["ckpts", "out.png", "out.png.run.json", "photo.png"]


def test_what_is_said(folder: Path, capsys) -> None:
    assert main(["stylize", "photo.png", "-m", "johnson", "-o", "out.jpg", "--no-compilation-cache"]) == 0
    assert "wrote out.jpg (64×48)" in capsys.readouterr().err


def test_size_strength_and_colors(folder: Path) -> None:
    photo = pixels("photo.png")
    assert run("photo.png", "-o", "small.png", "--size", "32") == 0
    assert pixels("small.png").shape == (24, 32, 3)
    assert run("photo.png", "-o", "none.png", "--strength", "0") == 0
    assert np.abs(pixels("none.png").astype(int) - photo).max() <= 1
    assert run("photo.png", "-o", "grey.png", "--colors", "luminance") == 0
    assert run("photo.png", "-o", "plain.png") == 0
    light, wanted = (luminance(nstjax.load_image(name)) for name in ("grey.png", "plain.png"))
    assert np.abs(light - wanted).mean() < 0.02  # clipping bends some of it
    assert run("photo.png", "-o", "matched.png", "--colors", "histogram") == 0
    means = [pixels(name).mean((0, 1)) for name in ("matched.png", "photo.png")]
    np.testing.assert_allclose(*means, atol=8)  # few colours, and steps between them


def test_sixteen_bits(folder: Path) -> None:
    assert run("photo.png", "-o", "out.tiff", "--bits", "16") == 0
    assert len(np.unique(tifffile.imread("out.tiff"))) > 256


def test_a_folder_with_a_bad_photograph(folder: Path, capsys) -> None:
    (folder / "in").mkdir()
    for name in ("a.png", "a.jpg", "b.png"):
        nstjax.save_image(folder / "in" / name, nstjax.load_image("photo.png"))
    (folder / "in" / "bad.png").write_bytes(b"no picture")
    assert run("in", "-o", "out/of", "--format", "jpg") == 2
    assert sorted(p.name for p in (folder / "out" / "of").iterdir()) == [
        "a.jpg.jpg",
        "a.png.jpg",
        "b.jpg",
        "stylize.run.json",
    ]
    err = capsys.readouterr().err
    assert "bad.png is not an image that can be read" in err
    assert "3 of 4 made; not made:" in err
    assert len(json.loads((folder / "out" / "of" / "stylize.run.json").read_text())["outputs"]) == 3


def test_a_folder_with_a_photograph_that_fails_in_any_way(folder: Path, capsys, monkeypatch) -> None:
    (folder / "in").mkdir()
    for name in ("a.png", "b.png"):
        nstjax.save_image(folder / "in" / name, nstjax.load_image("photo.png"))

    def failing(path: Path, long_side: int = 0) -> np.ndarray:
        if path.name == "a.png":
            raise MemoryError
        return nstjax.load_image(path)

    monkeypatch.setattr(nstjax.cli.stylize_command, "load_picture", failing)
    assert run("in", "-o", "out") == 1
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["b.png", "stylize.run.json"]
    error = capsys.readouterr().err
    assert error.startswith("nstjax: error: in/a.png: MemoryError: MemoryError\n")
    assert "1 of 2 made; not made:" in error


def test_several_photographs(folder: Path) -> None:
    nstjax.save_image(folder / "other.png", nstjax.load_image("photo.png")[:, ::-1])
    assert run("photo.png", "other.png", "-o", "out") == 0
    assert {"photo.png", "other.png"} < {p.name for p in (folder / "out").iterdir()}


def test_a_texture(folder: Path) -> None:
    assert run("-o", "t.png", "--size", "40", model="texture") == 0
    assert pixels("t.png").shape == (40, 40, 3)


def test_models_are_listed(folder: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["stylize", "--list"]) == 0
    said = capsys.readouterr().out
    for name in CONFIGS:
        assert name in said
    assert main(["stylize", "photo.png", "-o", "out.png"]) == 2
    assert (
        "--style is missing: name a style image, or a trained generator with --model; installed are johnson"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["stylize", "export"])
def test_help(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--model" in capsys.readouterr().out


# Moving pictures.


def animation(path: Path, frames: list[np.ndarray], milliseconds: list[int], **options: object) -> None:
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, **options)


def moving(count: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """A bar that goes to the right."""
    frames = []
    for i in range(count):
        frame = np.full((height, width, 3), (40, 90, 160), np.uint8)
        frame[:, 4 * i : 4 * i + 6] = (230, 200, 60)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("loop", [0, 3, None])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_keeps_its_format_and_times(folder: Path, suffix: str, loop: int | None) -> None:
    written = {None: {}, 0: {"loop": 0}, 3: {"loop": 3}} if suffix == ".gif" else {}
    own = {None: {"loop": 1}, 0: {"loop": 0}, 3: {"loop": 4}} | written  # GIF counts repetitions
    animation(folder / f"in{suffix}", moving(4), [100, 50, 200, 70], **own[loop])
    assert run(f"in{suffix}", "-o", f"out{suffix}") == 0
    found = open_animation(f"out{suffix}")
    assert found.milliseconds == (100, 50, 200, 70)
    assert (found.size, found.loop) == ((24, 32), loop)
    first = next(open_animation(f"in{suffix}").frames())
    expected = stylize(load_generator("johnson"), first)
    assert np.abs(next(found.frames()) - expected).mean() < 0.05  # a palette, or compression


def test_an_animation_in_another_format(folder: Path, capsys) -> None:
    animation(folder / "in.webp", moving(3), [100, 50, 200], loop=2)
    assert run("in.webp", "-o", "out.jpg") == 2
    assert "in.webp is an animation, so the output out.jpg must end in one of .gif" in capsys.readouterr().err
    assert run("in.webp", "-o", "out.gif") == 0
    found = open_animation("out.gif")
    assert (found.milliseconds, found.loop) == ((100, 50, 200), 1)


def test_an_apng_without_its_still_picture(folder: Path) -> None:
    still = Image.new("RGB", (32, 24), "red")
    frames = [Image.fromarray(frame) for frame in moving(2)]
    still.save("in.png", save_all=True, append_images=frames, default_image=True, duration=[60, 90])
    found = open_animation("in.png")
    assert found.milliseconds == (60, 90)
    np.testing.assert_allclose(next(found.frames())[0], moving(1)[0] / 255, atol=0.01)


def test_gif_frames_are_complete(tmp_path: Path) -> None:
    """Pillow stores what changes; transparency is over white, as it is in a photograph."""
    frames = moving(3)
    animation(tmp_path / "a.gif", frames, [40, 40, 40])
    for found, wanted in zip(open_animation(tmp_path / "a.gif").frames(), frames, strict=True):
        np.testing.assert_allclose(found[0], wanted / 255, atol=0.02)
    clear = Image.new("RGBA", (9, 8), (0, 0, 0, 0))
    clear.save(tmp_path / "b.gif")
    with pytest.warns(InputWarning, match=r"b\.gif has transparent pixels, which are shown over white"):
        found = open_animation(tmp_path / "b.gif")
    assert next(found.frames()).min() == 1.0


def test_gif_that_is_none(tmp_path: Path, pictures) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a and no more")
    with pytest.raises(nstjax.InputError, match=r"a.gif is a damaged or truncated image"):
        open_animation(tmp_path / "a.gif")
    nstjax.save_image(tmp_path / "b.png", pictures[0])
    (tmp_path / "b.png").rename(tmp_path / "b.gif")
    with pytest.raises(nstjax.InputError, match=r"b.gif is not a GIF but a PNG"):
        open_animation(tmp_path / "b.gif")
    with pytest.raises(nstjax.InputError, match="must end in one of .gif"):
        encode_animation(tmp_path / "b.jpg", [pictures[0]], [10])


def test_standing_pictures_stand_still(generators) -> None:
    """A generator with noise paints equal frames equally: a video of one thing does not flicker."""
    frame = np.full((1, 24, 32, 3), 0.4, np.float32)
    np.testing.assert_array_equal(*(stylize(generators["ulyanov"], frame, seed=4) for _ in range(2)))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_video(folder: Path, suffix: str) -> None:
    write_video(folder / "in.mp4", moving(6), ["aac"], rate="24000/1001")
    assert run("in.mp4", "-o", f"out{suffix}") == 0
    rate, times, shown, sounds = facts(f"out{suffix}")
    before = facts("in.mp4")
    assert rate == pytest.approx(before[0], rel=0.01)
    assert len(shown) == 6
    np.testing.assert_allclose(np.diff(times), np.diff(before[1]), atol=0.002)
    assert sounds == ["aac"]
    expected = stylize(load_generator("johnson"), before[2][2][None] / np.float32(255))
    assert np.abs(shown[2] / 255 - expected[0]).mean() < 0.03
    assert not list(folder.glob(".nstjax*"))


def test_a_video_without_sound_where_that_cannot_be(folder: Path, capsys) -> None:
    write_video(folder / "in.mp4", moving(3), ["aac"])
    assert main(["stylize", "in.mp4", "-m", "johnson", "-o", "out.webm", "--no-compilation-cache"]) == 0
    assert "cannot hold the sound of in.mp4 (aac): it is left out" in capsys.readouterr().err
    assert len(facts("out.webm")[2]) == 3
    assert facts("out.webm")[3] == []


def test_a_video_of_one_thing_stands_still(folder: Path) -> None:
    write_video(folder / "in.mp4", [moving(1)[0]] * 4)
    assert run("in.mp4", "-o", "out.mp4", model="ulyanov") == 0
    shown = facts("out.mp4")[2]
    for frame in shown[1:]:
        assert np.abs(frame.astype(int) - shown[0]).max() <= 2  # of the encoder


def test_a_video_of_an_odd_size(folder: Path) -> None:
    write_video(folder / "in.mp4", moving(2))
    assert run("in.mp4", "-o", "out.mp4", "--size", "27") == 0
    assert facts("out.mp4")[2][0].shape == (20, 26, 3)


def test_a_damaged_video(folder: Path, capsys) -> None:
    write_video(folder / "in.mp4", moving(3))
    whole = (folder / "in.mp4").read_bytes()
    (folder / "in.mp4").write_bytes(whole[: len(whole) // 2])
    assert run("in.mp4", "-o", "out.mp4") == 2
    assert "in.mp4 is a damaged video, or not one: copy or save it again" in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == ["ckpts", "in.mp4", "photo.png"]


def test_without_pyav(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (folder / "in.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    assert run("in.mp4", "-o", "out.mp4") == 2
    assert (
        "in.mp4 is a video, which needs the package av: pip install 'nstjax[video]'"
        in capsys.readouterr().err
    )


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="POSIX signals")
def test_interrupted(folder: Path) -> None:
    """Between two frames: nothing half-written stays, and what was there is as it was."""
    (folder / "out.gif").write_bytes(b"yesterday")
    animation(folder / "in.gif", moving(5), [50] * 5)
    program = """
import os, signal, sys
import nstjax.cli.painters as painters
from nstjax.cli.main import main
from nstjax.errors import InputWarning
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
real = painters.stylize
def slow(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments, **options)
painters.stylize = slow
sys.exit(main(sys.argv[1:]))
"""
    arguments = ["stylize", "in.gif", "-m", "johnson", "-o", "out.gif", "--no-compilation-cache"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 130
    assert "nstjax: interrupted" in done.stderr
    assert (folder / "out.gif").read_bytes() == b"yesterday"
    assert sorted(p.name for p in folder.iterdir()) == ["ckpts", "in.gif", "out.gif", "photo.png"]
