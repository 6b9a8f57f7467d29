"""The files of the browsers that use the page. Each browser has its own folder, which is deleted when its page is closed."""

import contextlib
import dataclasses
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

from nstjax.cli.pictures import load_picture
from nstjax.cli.runtime import warnings_as_notes
from nstjax.errors import InputError
from nstjax.images import save_image
from nstjax.images.animation import is_animation
from nstjax.images.formats import recognise_file

MOST_SESSIONS = 32
KEPT_RUNS = 8  # folders of earlier results of a browser that are kept for download
MAX_UPLOAD_BYTES = 64 * 2**20  # of an upload
UPLOAD_CHECK_SIDE = 512  # pixels; an upload is decoded once to check it, large ones at a reduced size
DECODING = threading.Lock()
"""Held while images are decoded: the collection of warnings is global to the process."""
_SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "TIFF": ".tiff",
}  # other files are converted to PNG


@dataclasses.dataclass
class Session:
    """The files and the run of one browser.

    Attributes:
        folder: folder of the images.
        uploads: Gradio's folder of uploads.
        runs: number of runs so far.
        worker: the process of the optimization, if one runs.
        run_folder: folder of the newest run.
        taken: uploads that the browser has used, in Gradio's folder.
    """

    folder: Path
    uploads: Path
    runs: int = 0
    worker: subprocess.Popen[str] | None = None
    run_folder: Path | None = None
    taken: set[Path] = dataclasses.field(default_factory=set)

    def take(self, upload: str, role: str) -> Path:
        """Check an uploaded image and copy it to the folder of the session.

        Args:
            upload: path of the upload, as the browser sends it.
            role: name of the copy, without suffix.

        Returns:
            The path of the copy.

        Raises:
            InputError: If the path is not that of an upload, the file is too large, or it is not an image. The message
                has the name of the upload.
        """
        source = Path(upload)
        if not source.resolve().is_relative_to(self.uploads.resolve()):
            raise InputError(f"{source.name} was not uploaded: upload it first")
        if not source.is_file():
            raise InputError(f"{source.name} is not here any more: upload it again")
        self.taken.add(source)
        if source.stat().st_size > MAX_UPLOAD_BYTES:
            raise InputError(
                f"{source.name} has more than {MAX_UPLOAD_BYTES >> 20} MB: choose a smaller file"
            )
        suffix = _SUFFIXES.get(str(recognise_file(source)))
        try:
            with DECODING, warnings_as_notes(lambda note: None):
                picture = load_picture(source, UPLOAD_CHECK_SIDE)
                if suffix is None or is_animation(source):  # of an animation, the first frame is used
                    suffix, picture = None, load_picture(source)
        except InputError as error:
            raise InputError(str(error).replace(str(source), source.name)) from error
        for earlier in self.folder.glob(f"{role}.*"):
            earlier.unlink()
        target = self.folder / f"{role}{suffix or '.png'}"
        if suffix is None:
            save_image(target, picture)
        else:
            shutil.copyfile(source, target)
        return target

    def new_run(self) -> Path:
        """Make and return the folder of a new run; delete the folder of the oldest run that is not kept."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs:04d}"
        folder.mkdir()
        self.run_folder = folder
        for old in sorted(self.folder.glob("run-*"))[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def stop(self) -> None:
        """Ask the running optimization to stop after its iteration; its picture so far becomes the result."""
        if self.worker is not None and self.run_folder is not None:
            (self.run_folder / "stop").touch()

    def kill(self) -> None:
        """End the running optimization at once, without a result."""
        if self.worker is not None:
            with contextlib.suppress(OSError):
                self.worker.kill()


class Sessions:
    """All sessions, by the key that Gradio gives a page.

    Args:
        root: folder for the folders of the sessions.
        uploads: Gradio's folder of uploads.
    """

    def __init__(self, root: Path, uploads: Path) -> None:
        self._root, self._uploads = root, uploads
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def of(self, key: str | None) -> Session:
        """Return the session of a page; make it if it does not exist.

        Raises:
            InputError: If there are :data:`MOST_SESSIONS` already.
        """
        with self._lock:
            found = self._sessions.get(str(key))
            if found is None:
                if len(self._sessions) >= MOST_SESSIONS:
                    raise InputError(f"{MOST_SESSIONS} pages are open already: close some of them")
                # The name cannot be guessed, because Gradio serves files in this folder by their path.
                folder = self._root / secrets.token_hex(16)
                folder.mkdir(parents=True)
                found = self._sessions[str(key)] = Session(folder, self._uploads)
            return found

    def close(self, key: str | None) -> None:
        """End the run of a page and delete its files, also its uploads in Gradio's folder."""
        with self._lock:
            session = self._sessions.pop(str(key), None)
            if session is None:
                return
            others = {path for one in self._sessions.values() for path in one.taken}
        session.kill()
        shutil.rmtree(session.folder, ignore_errors=True)
        for upload in session.taken - others:
            with contextlib.suppress(OSError):
                upload.unlink()

    def close_all(self) -> None:
        """Close every session."""
        for key in list(self._sessions):
            self.close(key)
