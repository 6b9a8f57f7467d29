"""The files of the open pages. Each page has its own folder, which is deleted when the page is closed."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from nstjax.cli.pictures import load_picture
from nstjax.cli.runtime import warnings_as_notes
from nstjax.errors import InputError
from nstjax.images import save_image
from nstjax.images.animation import is_animation
from nstjax.images.formats import recognise_file

MOST_SESSIONS = 32
UNUSED_S = 5.0  # age in seconds of an upload that no page uses, from which on it can be deleted
IDLE_S = 600.0  # a page without an event for this time may lose its session to a new page
KEPT_RUNS = 8  # folders of earlier results of a page that are kept for download
MAX_UPLOAD_BYTES = 64 * 2**20
UPLOAD_CHECK_SIDE = 512  # pixels; an upload is decoded once to check it, large ones at a reduced size
STOP = "stop"  # a file of this name in the folder of a run stops it
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "TIFF": ".tiff"}  # others are converted to PNG

_decoding = threading.Lock()  # the collection of warnings is global to the process


@contextlib.contextmanager
def decoding() -> Iterator[list[str]]:
    """Return a context manager in which images may be decoded; one thread is in it at a time.

    Yields:
        A list that receives the notes about the images.
    """
    notes: list[str] = []
    with _decoding, warnings_as_notes(notes.append):
        yield notes


@dataclasses.dataclass
class Session:
    """The files and the run of one open page.

    Attributes:
        folder: folder of the page.
        uploads: Gradio's folder of uploads; it contains ``folder``.
        lock: held while the other attributes change.
        used: time of the last event, from ``time.monotonic``.
        closed: True after the page was closed.
        runs: number of runs so far.
        wanted: number of optimizations that were asked for and have not begun.
        worker: the process of the optimization, if one runs.
        worker_folder: folder of the optimization, if one runs.
        last: the newest result, or None.
        taken: uploads that the page has used.
    """

    folder: Path
    uploads: Path
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    used: float = 0.0
    closed: bool = False
    runs: int = 0
    wanted: int = 0
    worker: subprocess.Popen[str] | None = None
    worker_folder: Path | None = None
    last: Path | None = None
    taken: set[Path] = dataclasses.field(default_factory=set)

    def plain(self, text: str) -> str:
        """Return a text without the folders of the session."""
        for folder in sorted(self.folder.glob("run-*"), reverse=True):
            text = text.replace(f"{folder}{os.sep}", "")
        return text.replace(f"{self.folder}{os.sep}", "")

    def check(self, upload: str) -> tuple[Path, str | None]:
        """Check an uploaded image.

        Args:
            upload: path of the upload, as the browser sends it.

        Returns:
            The path, and the suffix of its format; None if the commands cannot read the file as a still image as it is.

        Raises:
            InputError: If the path is not that of an upload, the file is too large, or it is not an image. The message
                has the name of the upload.
        """
        source = Path(upload)
        if not source.resolve().is_relative_to(self.uploads.resolve()):
            raise InputError(f"{source.name} was not uploaded: upload it first")
        if not source.is_file():
            raise InputError(f"{source.name} is no longer available: upload it again")
        with self.lock:
            self.taken.add(source)
        if source.stat().st_size > MAX_UPLOAD_BYTES:
            raise InputError(
                f"{source.name} has more than {MAX_UPLOAD_BYTES >> 20} MB: choose a smaller file"
            )
        try:
            with decoding():
                load_picture(source, UPLOAD_CHECK_SIDE)
                suffix = None if is_animation(source) else _SUFFIXES.get(str(recognise_file(source)))
        except InputError as error:
            raise InputError(str(error).replace(str(source), source.name)) from error
        return source, suffix

    def take(self, upload: str, folder: Path, role: str) -> Path:
        """Check an uploaded image and copy it to a folder.

        Args:
            upload: path of the upload, as the browser sends it.
            folder: folder for the copy.
            role: name of the copy, without suffix.

        Returns:
            The path of the copy: JPEG, PNG, WebP and TIFF are copied; other formats, and the first frame of an
            animation, are saved as PNG.

        Raises:
            InputError: As for :meth:`check`.
        """
        source, suffix = self.check(upload)
        target = folder / f"{role}{suffix or '.png'}"
        if suffix is not None:
            shutil.copyfile(source, target)
        else:
            with decoding():
                picture = load_picture(source)
            save_image(target, picture)
        return target

    def new_run(self) -> Path:
        """Make and return the folder of a new run; keep only the newest :data:`KEPT_RUNS` folders.

        Raises:
            InputError: If the page was closed.
        """
        with self.lock:
            if self.closed:
                raise InputError("the page was closed")
            self.runs += 1
            folder = self.folder / f"run-{self.runs:06d}"
            folder.mkdir()
            kept = {self.worker_folder, None if self.last is None else self.last.parent}
            for old in sorted(self.folder.glob("run-*"))[:-KEPT_RUNS]:
                if old not in kept:
                    shutil.rmtree(old, ignore_errors=True)
        return folder

    def stop(self) -> bool:
        """Stop the optimization of the page: the running one after its iteration, those that wait before they begin.

        Returns:
            True if one was running or waiting.
        """
        with self.lock:
            waiting, self.wanted = self.wanted > 0, 0
            if self.worker is None or self.worker_folder is None:
                return waiting
            (self.worker_folder / STOP).touch()
            return True

    def close(self, keep: Collection[Path]) -> None:
        """End the run and delete the files.

        Args:
            keep: uploads that are not deleted.
        """
        with self.lock:
            self.closed, self.wanted = True, 0
            worker = self.worker
        if worker is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                worker.kill()
                worker.wait(5)
        shutil.rmtree(self.folder, ignore_errors=True)
        for upload in self.taken - set(keep):
            with contextlib.suppress(OSError):
                upload.unlink()
                upload.parent.rmdir()  # Gradio makes a folder for each upload


class Sessions:
    """All sessions, by the key that Gradio gives a page.

    Args:
        uploads: Gradio's folder of uploads. The folders of the sessions are in it, so that Gradio serves their files
            without making copies.

    Attributes:
        keep: uploads that are never deleted: the examples.
    """

    def __init__(self, uploads: Path) -> None:
        self._uploads = uploads
        self._root = uploads / "sessions"
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self.keep: frozenset[Path] = frozenset()

    def find(self, key: str | None) -> Session | None:
        """Return the session of a page, or None."""
        with self._lock:
            return self._sessions.get(str(key))

    def of(self, key: str | None) -> Session:
        """Return the session of a page; make it if it does not exist.

        A page that was not used for :data:`IDLE_S` loses its session if there are too many. A browser on a machine that
        was suspended does not report that its page was closed.

        Raises:
            InputError: If there are :data:`MOST_SESSIONS` already, all in use.
        """
        now, idle = time.monotonic(), None
        with self._lock:
            found = self._sessions.get(str(key))
            if found is None:
                if len(self._sessions) >= MOST_SESSIONS:
                    unused = {
                        name: one
                        for name, one in self._sessions.items()
                        if one.worker is None and now - one.used > IDLE_S
                    }
                    if not unused:
                        raise InputError(f"{MOST_SESSIONS} pages are open already: close some of them")
                    idle = self._sessions.pop(min(unused, key=lambda name: unused[name].used))
                # The name cannot be guessed, because Gradio serves files in this folder by their path.
                folder = self._root / secrets.token_hex(16)
                folder.mkdir(parents=True)
                found = self._sessions[str(key)] = Session(folder, self._uploads)
            found.used = now
        if idle is not None:
            self._delete(idle)
        return found

    def _delete(self, session: Session) -> None:
        with self._lock:
            others = {path for one in self._sessions.values() for path in one.taken}
        session.close(others | self.keep)

    def close(self, key: str | None) -> None:
        """End the run of a page and delete its files and its uploads."""
        with self._lock:
            session = self._sessions.pop(str(key), None)
        if session is not None:
            self._delete(session)
            later = threading.Timer(UNUSED_S + 1, self._delete_unused)
            later.daemon = True
            later.start()

    def _delete_unused(self) -> None:
        """Delete uploads that no page has used, unless a page is open.

        A page can upload files that it never sends with an event, such as the background of the regions. Uploads of the
        last seconds stay: they can be those of a page whose first event has not arrived yet.
        """
        with self._lock:
            if self._sessions:
                return
        newest, kept = time.time() - UNUSED_S, {path.resolve() for path in self.keep}
        for path in (Path(place, name) for place, _, names in os.walk(self._uploads) for name in names):
            if path.resolve() in kept or path.is_relative_to(self._root):
                continue
            with contextlib.suppress(OSError):  # pages may be deleting files, too
                if path.stat().st_mtime < newest:
                    path.unlink()
                    path.parent.rmdir()

    def close_all(self) -> None:
        """Close every session."""
        for key in list(self._sessions):
            self.close(key)
