"""The files of the browsers: uploads are checked and copied, and everything is deleted when a page is closed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError
from nstjax.web import session as module
from nstjax.web.session import KEPT_RUNS, Session, Sessions

RNG = np.random.default_rng(0)


def image(path: Path, height: int = 20, width: int = 30, **how: object) -> Path:
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path, **how)  # type: ignore[arg-type]
    return path


@pytest.fixture
def own(tmp_path: Path) -> Session:
    return Sessions(tmp_path / "sessions", tmp_path).of("a")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_an_upload_is_copied_under_the_name_of_its_role(own: Session, tmp_path: Path, suffix: str) -> None:
    upload = image(tmp_path / f"Holiday 1{suffix}")
    copy = own.take(str(upload), "photo")
    assert copy == own.folder / f"photo{suffix}"
    assert copy.read_bytes() == upload.read_bytes()


def test_the_format_is_that_of_the_content(own: Session, tmp_path: Path) -> None:
    upload = image(tmp_path / "clip.mp4", format="JPEG")
    assert own.take(str(upload), "photo").name == "photo.jpg"
    upload = image(tmp_path / "photo.bmp")
    assert own.take(str(upload), "photo").name == "photo.png"
    assert [path.name for path in own.folder.iterdir()] == ["photo.png"]  # the earlier copy is gone


def test_of_an_animation_the_first_frame_is_used(own: Session, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    copy = own.take(str(tmp_path / "moving.gif"), "photo")
    assert copy.name == "photo.png"
    with Image.open(copy) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_bad_uploads_are_refused_by_their_own_names(
    own: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"^text\.png "):
        own.take(str(tmp_path / "text.png"), "photo")
    with pytest.raises(InputError, match=r"^gone\.png is not here any more"):
        own.take(str(tmp_path / "gone.png"), "photo")
    with pytest.raises(InputError, match=r"^tiny\.png has 3×3 pixels"):
        own.take(str(image(tmp_path / "tiny.png", 3, 3)), "photo")
    monkeypatch.setattr(module, "MAX_UPLOAD_BYTES", 100)
    with pytest.raises(InputError, match=r"^large\.png has more than"):
        own.take(str(image(tmp_path / "large.png")), "photo")
    assert list(own.folder.iterdir()) == []


def test_other_files_are_no_uploads(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    secret = image(tmp_path / "secret.png")
    own = Sessions(tmp_path / "sessions", tmp_path / "uploads").of("a")
    (tmp_path / "uploads" / "link.png").symlink_to(secret)
    for path in (secret, tmp_path / "uploads" / ".." / "secret.png", tmp_path / "uploads" / "link.png"):
        with pytest.raises(InputError, match="was not uploaded"):
            own.take(str(path), "photo")
    assert list(own.folder.iterdir()) == []


def test_browsers_have_folders_of_their_own(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, tmp_path)
    one, two = sessions.of("a"), sessions.of("../../b")
    assert one is sessions.of("a")
    assert one.folder != two.folder
    assert one.folder.parent == two.folder.parent == tmp_path


def test_closing_deletes_the_files_and_the_uploads(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", tmp_path)
    one, two = sessions.of("a"), sessions.of("b")
    first, both = image(tmp_path / "first.png"), image(tmp_path / "both.png")
    one.take(str(first), "photo")
    one.take(str(both), "painting")
    two.take(str(both), "photo")
    sessions.close("a")
    sessions.close("unknown")
    assert not one.folder.exists()
    assert not first.exists()
    assert both.exists()  # the other browser still uses it
    sessions.close_all()
    assert not two.folder.exists()
    assert not both.exists()


def test_the_number_of_browsers_and_of_kept_runs_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SESSIONS", 2)
    sessions = Sessions(tmp_path, tmp_path)
    own = sessions.of("a")
    sessions.of("b")
    with pytest.raises(InputError, match="close some"):
        sessions.of("c")
    sessions.close("b")
    sessions.of("c")
    folders = [own.new_run() for _ in range(KEPT_RUNS + 3)]
    assert [folder.exists() for folder in folders] == [False] * 3 + [True] * KEPT_RUNS
