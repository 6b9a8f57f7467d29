"""The files of the browsers: uploads are checked and copied, and everything is deleted when a page is closed."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError
from nstjax.web import session as module
from nstjax.web.session import KEPT_RUNS, MOST_SESSIONS, STOP, Session, Sessions

RNG = np.random.default_rng(0)


def image(path: Path, height: int = 20, width: int = 30, **how: object) -> Path:
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path, **how)  # type: ignore[arg-type]
    return path


@pytest.fixture
def own(tmp_path: Path) -> Session:
    return Sessions(tmp_path).of("a")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_an_upload_is_copied_under_the_name_of_its_role(own: Session, tmp_path: Path, suffix: str) -> None:
    upload = image(tmp_path / f"Holiday 1{suffix}")
    copy = own.take(str(upload), own.folder, "photo")
    assert copy == own.folder / f"photo{suffix}"
    assert copy.read_bytes() == upload.read_bytes()


def test_the_format_is_that_of_the_content(own: Session, tmp_path: Path) -> None:
    upload = image(tmp_path / "clip.mp4", format="JPEG")
    assert own.take(str(upload), own.folder, "photo").name == "photo.jpg"
    upload = image(tmp_path / "photo.bmp")
    assert own.take(str(upload), own.folder, "photo").name == "photo.png"


def test_of_an_animation_the_first_frame_is_used(own: Session, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    copy = own.take(str(tmp_path / "moving.gif"), own.folder, "photo")
    assert copy.name == "photo.png"
    with Image.open(copy) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_bad_uploads_are_refused_by_their_own_names(
    own: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"^text\.png "):
        own.take(str(tmp_path / "text.png"), own.folder, "photo")
    with pytest.raises(InputError, match=r"^gone\.png is no longer available"):
        own.take(str(tmp_path / "gone.png"), own.folder, "photo")
    with pytest.raises(InputError, match=r"^tiny\.png has 3×3 pixels"):
        own.take(str(image(tmp_path / "tiny.png", 3, 3)), own.folder, "photo")
    monkeypatch.setattr(module, "MAX_UPLOAD_BYTES", 100)
    with pytest.raises(InputError, match=r"^large\.png has more than"):
        own.take(str(image(tmp_path / "large.png")), own.folder, "photo")
    assert list(own.folder.iterdir()) == []


def test_other_files_are_no_uploads(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    secret = image(tmp_path / "secret.png")
    own = Sessions(tmp_path / "uploads").of("a")
    (tmp_path / "uploads" / "link.png").symlink_to(secret)
    for path in (secret, tmp_path / "uploads" / ".." / "secret.png", tmp_path / "uploads" / "link.png"):
        with pytest.raises(InputError, match="was not uploaded"):
            own.take(str(path), own.folder, "photo")
    assert list(own.folder.iterdir()) == []


def test_browsers_have_folders_of_their_own(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    one, two = sessions.of("a"), sessions.of("../../b")
    assert one is sessions.of("a")
    assert one.folder != two.folder
    assert one.folder.parent == two.folder.parent == tmp_path / "sessions"


def test_closing_deletes_the_files_and_the_uploads(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    one, two = sessions.of("a"), sessions.of("b")
    (tmp_path / "hash").mkdir()
    first, both, example = (
        image(path)
        for path in (tmp_path / "hash" / "first.png", tmp_path / "both.png", tmp_path / "example.png")
    )
    sessions.keep = frozenset([example])
    one.take(str(first), one.folder, "photo")
    for upload in (both, example):
        one.check(str(upload))
        two.check(str(upload))
    sessions.close("a")
    sessions.close("unknown")
    assert not one.folder.exists()
    assert not first.parent.exists()
    assert both.exists()  # the other page still uses it
    with pytest.raises(InputError, match="was closed"):
        one.new_run()
    sessions.close_all()
    assert not two.folder.exists()
    assert not both.exists()
    assert example.exists()


def test_uploads_are_counted_while_pages_are_closed(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="needs the extra web")
    from nstjax.web.server import UPLOAD, Guard

    guard, sessions = Guard(lambda *_: None, tmp_path), Sessions(tmp_path)  # type: ignore[arg-type, return-value]
    scope = {"method": "POST", "path": UPLOAD, "headers": [(b"content-length", b"1")]}
    for page in range(MOST_SESSIONS):
        for number in range(20):
            (sessions.of(str(page)).folder / f"{number}.png").write_bytes(b"content")
    closing = threading.Thread(target=sessions.close_all)
    closing.start()
    while closing.is_alive():
        assert guard._refusal(scope) is None
    closing.join()


def test_closing_ends_the_run(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    own = sessions.of("a")
    own.worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], text=True)
    sessions.close("a")
    assert own.worker.poll() is not None


def test_stop_reaches_the_run_and_those_that_wait(tmp_path: Path) -> None:
    own = Sessions(tmp_path).of("a")
    assert not own.stop()
    own.wanted = 1
    assert own.stop()
    assert own.wanted == 0
    running, other = own.new_run(), own.new_run()
    with subprocess.Popen([sys.executable, "-c", ""], text=True) as own.worker:
        own.worker_folder = running
        assert own.stop()
    assert (running / STOP).exists()
    assert not (other / STOP).exists()


def test_the_number_of_pages_and_of_kept_runs_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SESSIONS", 2)
    sessions = Sessions(tmp_path)
    own, other = sessions.of("a"), sessions.of("b")
    with pytest.raises(InputError, match="close some"):
        sessions.of("c")
    other.used -= 2 * module.IDLE_S  # of a browser that was suspended
    sessions.of("c")
    assert sessions.find("b") is None
    assert not other.folder.exists()
    folders = [own.new_run() for _ in range(KEPT_RUNS + 3)]
    assert [folder.exists() for folder in folders] == [False] * 3 + [True] * KEPT_RUNS
    own.worker_folder, own.last = folders[3], folders[4] / "picture.png"
    more = [own.new_run() for _ in range(KEPT_RUNS)]
    assert [folder.exists() for folder in folders[3:6]] == [True, True, False]
    assert all(folder.exists() for folder in more)


def test_texts_are_shown_without_the_folders_of_the_server(tmp_path: Path) -> None:
    own = Sessions(tmp_path).of("a")
    text = f"{own.new_run() / 'photo.png'} and {own.folder / 'canvas.png'} and /other/photo.png"
    assert own.plain(text) == "photo.png and canvas.png and /other/photo.png"
