"""What surrounds a command: a home folder, an encoding, other programs' settings, limits of memory."""

import io
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax import files, private
from nstjax.cli.main import main
from nstjax.errors import InputWarning
from nstjax.free_memory import cgroup_bytes, host_bytes
from nstjax.images import load_image
from nstjax.reports import contact_sheet, environment, loss_plot

# Packages.


def test_packages_without_metadata(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout that is not installed has none."""
    places = [entry for entry in sys.path if not any(Path(entry).glob("*.*-info"))]
    monkeypatch.setattr(sys, "path", places)
    assert environment()["versions"] == {"nstjax": nstjax.__version__}
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nstjax {nstjax.__version__}\n"


# Home folders.


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a home folder; gives the folder for temporary files."""
    pwd = pytest.importorskip("pwd")

    def nobody(user: int) -> None:
        raise KeyError(user)

    for name in ("HOME", "NSTJAX_CACHE", "NSTJAX_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private.temporary_home.cache_clear()
    yield tmp_path
    private.temporary_home.cache_clear()


def test_without_a_home_folder(homeless: Path) -> None:
    with pytest.warns(InputWarning, match="this user has no home folder, so .* holds weights") as said:
        cache, state = files.cache_folder(), files.state_folder()
    assert len(said) == 1
    home = homeless / f"nstjax-{os.geteuid()}"
    assert (cache, state) == (home / "cache", home / "state")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_temporary_home_of_another(homeless: Path) -> None:
    (homeless / "theirs").mkdir()
    (homeless / f"nstjax-{os.geteuid()}").symlink_to(homeless / "theirs")
    with pytest.warns(InputWarning):
        cache = files.cache_folder()
    assert cache.parent.parent == homeless
    assert not cache.is_relative_to(homeless / f"nstjax-{os.geteuid()}")
    assert stat.S_IMODE(cache.parent.stat().st_mode) == 0o700


def test_the_tilde_of_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NSTJAX_CACHE", "~/deep/cache")
    assert files.cache_folder() == tmp_path / "deep" / "cache"


def test_a_tilde_without_a_home_folder(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTJAX_STATE", "~/state")
    with pytest.raises(nstjax.InputError, match="NSTJAX_STATE is ~/state, but the home folder"):
        files.state_folder()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone can be another user")
def test_a_command_of_a_user_without_a_home_folder() -> None:
    """As in a container that runs as a number."""
    program = """
import os, sys
import nstjax.cli.weights_command  # before: the other user may not be able to read Python's files
from nstjax.cli.main import main
os.setuid(54321)
sys.exit(main(sys.argv[1:]))
"""
    environ = {k: v for k, v in os.environ.items() if k not in ("HOME", "NSTJAX_CACHE", "NSTJAX_STATE")}
    environ["PYTHONPATH"] = str(Path(nstjax.__file__).parents[1])
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o777)
        done = subprocess.run(
            [sys.executable, "-c", program, "weights", "list"],
            env={**environ, "TMPDIR": folder},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        home = Path(folder) / "nstjax-54321"
        assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
        assert done.stderr.startswith(f"nstjax: note: this user has no home folder, so {home} holds weights")
        assert "embedded" in done.stdout
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


# Encodings.


def printed(
    arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[int | str | None, str, str]:
    """Exit code and what a command prints where standard output and error have an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    return code, out, err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_in_another_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = printed(["transfer", "--help-all"], encoding, monkeypatch)
    assert (code, err) == (0, "")
    assert "--content-weight" in out


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_is_no_text(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.jpg")  # Latin-1 on a system of UTF-8
    code, out, err = printed(["transfer", name, name, "-o", "out.png"], encoding, monkeypatch)
    assert (code, out) == (2, "")
    assert err == "nstjax: error: caf\\udce9.jpg does not exist: check the path\n"


def test_figures_of_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    loss_plot(tmp_path / "a.png", [{"scale": 0, "loss": 1.0, "terms": {"a": 1.0}}], name)
    contact_sheet(tmp_path / "b.png", [[(np.zeros((1, 8, 8, 3)), name), (None, name)]], name)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_a_line_break_in_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transfer", "a\nb.jpg", "a.jpg", "-o", "out.png"]) == 2
    assert capsys.readouterr().err == "nstjax: error: a b.jpg does not exist: check the path\n"


# Settings of other programs.


def test_a_matplotlibrc_in_the_working_folder(tmp_path: Path) -> None:
    """It could start LaTeX; read at the import of Matplotlib, so this is a process of its own."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: zzz\naxes.facecolor: red\n")
    program = """
import logging
logging.getLogger().addHandler(logging.NullHandler())
from pathlib import Path
from nstjax.reports import loss_plot
loss_plot(Path("loss.png"), [{"scale": 0, "loss": 1.0, "terms": {"a": 1.0}}] * 2, "title")
import matplotlib
assert matplotlib.rcParams["text.usetex"]  # a script's own figures keep its settings
"""
    path = str(Path(nstjax.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert load_image(tmp_path / "loss.png")[0, 40, 400].min() > 0.99  # not red


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_libtiff_is_silent(compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    whole = bytearray((tmp_path / "a.tif").read_bytes())
    refused = 0
    for at in range(200, len(whole) - 300, len(whole) // 40):
        damaged = whole.copy()
        damaged[at] ^= 0xFF
        (tmp_path / "b.tif").write_bytes(damaged)
        try:
            load_image(tmp_path / "b.tif")
        except nstjax.InputError:
            refused += 1
    assert refused > 5
    assert capfd.readouterr().err == ""


# What an image file holds that a picture does not show.


def test_transparent_pixels_are_noted(tmp_path: Path) -> None:
    opaque = Image.new("RGBA", (9, 8), (0, 0, 0, 255))
    opaque.save(tmp_path / "a.png")
    load_image(tmp_path / "a.png")  # no warning
    opaque.putpixel((3, 3), (0, 0, 0, 128))
    opaque.save(tmp_path / "b.png")
    with pytest.warns(InputWarning, match=r"b\.png has transparent pixels, which are shown over white"):
        load_image(tmp_path / "b.png")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_later_frames_are_noted(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 8), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.warns(InputWarning, match="is an animation of 3 frames, of which only the first is used"):
        image = load_image(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(image[0, 4, 4], [1, 0, 0], atol=0.02)


def test_a_note_is_said_once_and_not_to_the_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (32, 24), (9, 99, 200, 99)).save("in.png")
    command = ["transfer", "in.png", "in.png", "-o", "out.png", "-w", "embedded", "--style-layers", "conv9_9"]
    assert main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "nstjax: note: in.png has transparent pixels, which are shown over white"
    assert "transparent" not in "".join(lines[1:])
    assert lines[-1].startswith("nstjax: error: --style-layers: embedded has no layer 'conv9_9'")
    assert main([*command, "-q"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# Limits of memory.


def tree(root: Path, cgroup: str, mounts: str, files: dict[str, object]) -> Path:
    """A system's files on control groups."""
    for name, content in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


V1 = "35 31 0:32 {} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
V2 = "30 23 0:26 {} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
NONE = 9223372036854771712  # how version 1 writes no limit
G = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "free"),
    [
        # The lowest on the way up counts, less what is in use.
        (
            "0::/user/job",
            V2.format("/"),
            {
                f"{G}/user/memory.max": 5000,
                f"{G}/user/memory.current": 1500,
                f"{G}/user/memory.stat": "anon 1\ninactive_file 200",
                f"{G}/user/job/memory.max": "max",
                f"{G}/user/job/memory.current": 900,
                f"{G}/user/job/memory.stat": "anon 1",
            },
            5000 - 1500 + 200,
        ),
        (
            "0::/user/job",
            V2.format("/"),
            {
                f"{G}/user/memory.max": 5000,
                f"{G}/user/job/memory.max": 4000,
                f"{G}/user/job/memory.high": 3000,
                f"{G}/user/job/memory.current": 900,
                f"{G}/user/job/memory.stat": "",
            },
            3000 - 900,
        ),
        # A container with a namespace of its own.
        ("0::/", V2.format("/"), {f"{G}/memory.max": 700, f"{G}/memory.current": 100}, 600),
        (
            "4:memory:/docker/abc\n1:cpu:/\n0::/",
            OTHER + V1.format("/docker/abc"),
            {
                f"{G}/memory/memory.limit_in_bytes": 800,
                f"{G}/memory/memory.usage_in_bytes": 300,
                f"{G}/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 50",
            },
            800 - 300 + 50,
        ),
        (
            "4:cpu,memory:/slurm/job_7/step",
            OTHER + V1.format("/"),
            {
                f"{G}/memory/memory.limit_in_bytes": NONE,
                f"{G}/memory/slurm/job_7/memory.limit_in_bytes": 600,
                f"{G}/memory/slurm/job_7/memory.usage_in_bytes": 900,
                f"{G}/memory/slurm/job_7/memory.stat": "total_inactive_file 0",
                f"{G}/memory/slurm/job_7/step/memory.limit_in_bytes": NONE,
            },
            0,
        ),
        ("4:memory:/\n0::/", OTHER + V1.format("/"), {f"{G}/memory/memory.limit_in_bytes": NONE}, np.inf),
        ("0::/", OTHER, {}, np.inf),
        ("nonsense", "nonsense", {}, np.inf),
    ],
)
def test_limits_of_control_groups(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, object], free: float
) -> None:
    root = tree(tmp_path, cgroup, mounts, files)
    assert cgroup_bytes(root) == free
    assert host_bytes(root) == (free if free < np.inf else pytest.approx(host_bytes(), rel=0.3))


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert cgroup_bytes(tmp_path) == np.inf
