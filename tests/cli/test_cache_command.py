"""``nstjax cache`` and ``nstjax info``: what they show, and what clearing deletes and keeps."""

import json
from pathlib import Path

import pytest

from nstjax.cli import cache_command, info_command
from nstjax.cli.cache_command import readable
from nstjax.cli.main import main
from nstjax.files import folder_bytes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one file of each kind, and one that is not nstjax's."""
    folder = tmp_path / "cache"
    for name, count in (
        ("xla/nstjax-1", 1500),
        ("downloads/x.h5", 20),
        ("weights/mine/tree/d", 7),
        ("mine.txt", 9),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * count)
    monkeypatch.setenv("NSTJAX_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_sizes(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder_bytes(cache) == 1536
    assert folder_bytes(cache / "absent") == 0
    assert [readable(count) for count in (9, 1500, 2_340_000, 5 * 10**9)] == [
        "9 bytes",
        "1.5 kB",
        "2.3 MB",
        "5.0 GB",
    ]
    assert main(["cache", "sizes"]) == 0
    out = capsys.readouterr().out
    assert str(cache) in out
    assert "1.5 kB  compiled programs" in out
    assert main(["cache", "sizes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(cache),
        "bytes": {"xla": 1500, "downloads": 20, "matplotlib": 0, "weights": 7, "models": 0},
    }


def test_clearing_keeps_what_cannot_be_made_again(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear"]) == 0
    assert f"deleted 1.5 kB in {cache}" in capsys.readouterr().out
    assert left(cache) == ["mine.txt", "weights/mine/tree/d"]
    assert main(["cache", "clear", "--all"]) == 0
    assert left(cache) == ["mine.txt"]
    assert main(["cache", "clear"]) == 0  # nothing is left


def test_clearing_does_not_follow_a_symbolic_link(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("mine")
    (cache / "models").symlink_to(tmp_path / "own")
    assert main(["cache", "clear", "--all"]) == 2
    assert "cannot delete" in capsys.readouterr().err
    assert left(tmp_path / "own") == ["thesis.tex"]


def test_a_cleared_cache_is_filled_again(cache: Path, photo_and_painting: list[str]) -> None:
    command = ["transfer", *photo_and_painting, "-o", "out.png", "--size", "32", "--iterations", "1", "-q"]
    assert main([*command, "-w", "embedded"]) == 0
    assert folder_bytes(cache / "xla") > 1500
    assert main(["cache", "clear"]) == 0
    assert not (cache / "xla").exists()
    assert main([*command, "-w", "embedded", "--seed", "1"]) == 0


@pytest.fixture
def photo_and_painting(tmp_path: Path, pictures: tuple) -> list[str]:
    from nstjax.images import save_image

    paths = [tmp_path / "photo.png", tmp_path / "painting.png"]
    for path, picture in zip(paths, pictures, strict=True):
        save_image(path, picture)
    return [str(path) for path in paths]


def test_bad_actions(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert "actions" in capsys.readouterr().out
    assert main(["cache", "empty"]) == 2
    assert "nstjax cache has no action 'empty': the actions are sizes, clear" in capsys.readouterr().err
    assert left(cache) == ["downloads/x.h5", "mine.txt", "weights/mine/tree/d", "xla/nstjax-1"]
    assert set(cache_command.CACHE_ACTIONS) == {"sizes", "clear"}


def test_info(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(info_command.EXTRAS, "nothing", ("a_module_that_is_not_there",))
    monkeypatch.setitem(info_command.EXTRAS, "something", ("json",))
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cache"] == {"folder": str(cache), "bytes": 1527}
    assert "something" in found["extras"]
    assert "nothing" not in found["extras"]
    assert "embedded" in found["weights"]
    assert "gallery" in found["generators"]
    assert found["versions"]["jax"]
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"cache      {cache}, 1.5 kB" in out
    assert "nothing)" in out
