"""The functions that the page's events call."""

import contextlib
import html
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio
import numpy as np

from nstjax.cli.flags import with_flags
from nstjax.cli.pictures import load_picture
from nstjax.errors import InputError
from nstjax.images import fit_long_side, resize, save_image
from nstjax.images.io import load_with_alpha
from nstjax.web.fields import Field, arguments_of
from nstjax.web.jobs import ANIMATION, PICTURE, PLOT, one_pass, optimize
from nstjax.web.session import Session, Sessions, decoding

GALLERY = "gallery"  # the generator whose styles are shown as thumbnails
EDITOR_SIDE = 640  # pixels; longer side of the photograph on which regions are painted
BRUSHES = {"red": "#e6194b", "green": "#3cb44b", "blue": "#4363d8"}
REGIONS, LAST = "regions.png", "last.png"


def progress_bar(done: float, text: str) -> str:
    """Return a progress bar with a line of text, as HTML."""
    return f'<progress max="1" value="{done:.4f}"></progress><div>{html.escape(text)}</div>'


def _command(words: Sequence[str], folder: Path) -> str:
    """Return a command line to copy, with the names of the files and without their folder."""
    names = ["nstjax", *(word.replace(f"{folder}{os.sep}", "") for word in words)]
    return subprocess.list2cmdline(names) if os.name == "nt" else shlex.join(names)


def regions(layer: np.ndarray, alpha: np.ndarray | None, path: Path) -> list[str]:
    """Write the painted regions to an image of labels, with one color of :data:`BRUSHES` for each region.

    Args:
        layer: the painted layer, ``(h, w, 3)`` in [0, 1].
        alpha: its opacity, ``(h, w)`` in [0, 1]; positions above 1/2 are painted. None if nothing is painted.
        path: the image of labels.

    Returns:
        The names of the brushes that were used; empty, and no file, if nothing was painted.
    """
    if alpha is None or not (alpha > 0.5).any():
        return []
    painted = alpha > 0.5
    colors = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in BRUSHES.values()], np.uint8)
    nearest = ((layer[painted][:, None] - colors / np.float32(255)) ** 2).sum(-1).argmin(-1)
    labels = np.zeros((*painted.shape, 3), np.float32)
    labels[painted] = colors[nearest] / np.float32(255)
    save_image(path, labels[None])
    return [name for number, name in enumerate(BRUSHES) if (nearest == number).any()]


def _painted(session: Session, editor: Any, path: Path) -> list[str]:
    """Write the regions of the image editor; return the brushes that were used.

    Args:
        session: the session.
        editor: the value of the editor: the files of its layers, and of the images that it sends beside them.
        path: the image of labels.

    Raises:
        InputError: If the value is not that of the page's editor.
    """
    if not editor:
        return []
    for file in editor["others"]:
        with contextlib.suppress(InputError):
            session.check(file)  # so that it is deleted with the page
    if len(editor["layers"]) > 1:
        raise InputError("the regions have several layers: paint them on the page")
    used: list[str] = []
    for file in editor["layers"]:
        source, _ = session.check(file)
        with decoding():
            layer = load_with_alpha(source)
        if max(layer.colors.shape) > 4 * EDITOR_SIDE:
            raise InputError("the regions are larger than the page's editor: paint them on the page")
        used = regions(layer.colors, layer.alpha, path)
    return used


class Actions:
    """The functions that the page's events call. Gradio fills the arguments of type ``Request`` and ``SelectData``.

    They raise ``gradio.Error`` with one sentence for bad input. Those that make a picture return, or yield, the values of
    the picture, the progress, the command and the downloads.

    Args:
        sessions: the sessions.
        transfer: the fields of ``nstjax transfer``.
        stylize: the fields of ``nstjax stylize``.
        gallery: names of the gallery's styles.
    """

    def __init__(
        self, sessions: Sessions, transfer: list[Field], stylize: list[Field], gallery: Sequence[str]
    ) -> None:
        self._sessions, self._transfer, self._stylize = sessions, transfer, stylize
        self._gallery = tuple(gallery)

    @contextlib.contextmanager
    def _session(self, request: gradio.Request) -> Iterator[Session]:
        """Return the session of a page; turn errors in the block into the sentence that the page shows."""
        session = None
        try:
            session = self._sessions.of(request.session_hash)
            yield session
        except (InputError, OSError) as error:  # OSError: the page was closed, and its folder is deleted
            text = with_flags(str(error)) if isinstance(error, InputError) else "a file of the page is gone"
            text = html.escape(text if session is None else session.plain(text))
            raise gradio.Error(text, print_exception=False, title="Invalid input", duration=15) from error

    @staticmethod
    def _photo(session: Session, photo: str | None, folder: Path) -> Path:
        if not photo:
            raise InputError("the photograph is missing: add one, or choose an example below it")
        return session.take(photo, folder, "photo")

    @staticmethod
    def _styles(
        session: Session, painting: str | None, own: Sequence[str | None], editor: Any, folder: Path
    ) -> tuple[list[Path], list[str]]:
        """Return the files of the style images, and the arguments for the regions.

        Raises:
            InputError: If a style image is missing or cannot be read.
        """
        used = _painted(session, editor, folder / REGIONS)
        found, masks = [], []
        for name, upload in zip(BRUSHES, own, strict=True):
            if name not in used:
                continue
            if not upload:
                raise InputError(
                    f"the region painted in {name} has no style image: add one, or erase the region"
                )
            found.append(session.take(upload, folder, f"painting-{name}"))
            masks.append(f"{folder / REGIONS}#{BRUSHES[name][1:]}")
        if painting:
            found.append(session.take(painting, folder, "painting"))
            masks.append("rest")
        if not found:
            raise InputError("the style image is missing: add one, or choose an example below it")
        return found, ["--masks", *masks] if used else []

    def _inputs(
        self,
        session: Session,
        photo: str | None,
        painting: str | None,
        own: Sequence[str | None],
        editor: Any,
    ) -> tuple[Path, Path, list[Path], list[str]]:
        """Return the folder of a new run, the photograph, the style images, and the arguments for the regions.

        Raises:
            InputError: If an image is missing or cannot be read.
        """
        folder = session.new_run()
        content = self._photo(session, photo, folder)
        return folder, content, *self._styles(session, painting, own, editor, folder)

    def canvas(self, request: gradio.Request, photo: str | None) -> Any:
        """Return the photograph at a small size as the background of the regions; None without a photograph."""
        if not photo:
            return None
        with self._session(request) as session:
            source, _ = session.check(photo)
            with decoding():
                image = load_picture(source, EDITOR_SIDE)
            height, width = fit_long_side(image.shape[1], image.shape[2], EDITOR_SIDE)
            for earlier in session.folder.glob("canvas-*.png"):
                earlier.unlink(missing_ok=True)
            path = session.folder / f"canvas-{secrets.token_hex(4)}.png"
            save_image(path, np.asarray(resize(image, height, width)).clip(0, 1))
        return {"background": str(path), "layers": [], "composite": None}

    def check(self, request: gradio.Request, upload: str | None) -> None:
        """Check a style image that was uploaded."""
        if upload:
            with self._session(request) as session:
                session.check(upload)

    def _paint(self, session: Session, folder: Path, arguments: list[str]) -> list[Any]:
        notes = one_pass(folder, arguments)
        session.last = folder / PICTURE
        text = "; ".join(["Finished", *map(session.plain, notes)])
        command = _command(["stylize", *arguments, "-o", PICTURE], folder)
        return [str(folder / PICTURE), progress_bar(1.0, text), command, _downloads(folder)]

    def paint(
        self,
        request: gradio.Request,
        photo: str | None,
        painting: str | None,
        red: str | None,
        green: str | None,
        blue: str | None,
        editor: Any,
        *values: Any,
    ) -> list[Any]:
        """Stylize in one pass with the style images."""
        with self._session(request) as session:
            folder, content, paintings, masks = self._inputs(
                session, photo, painting, (red, green, blue), editor
            )
            options = arguments_of(self._stylize, values)
            style = ",".join(map(str, paintings))
            return self._paint(session, folder, [str(content), "--style", style, *masks, *options])

    def paint_gallery(
        self, request: gradio.Request, event: gradio.SelectData, photo: str | None, *values: Any
    ) -> list[Any]:
        """Stylize in one pass with a style of the gallery."""
        with self._session(request) as session:
            number = event.index if isinstance(event.index, int) else -1
            if not 0 <= number < len(self._gallery):
                raise InputError("the gallery has no such style: choose one of its thumbnails")
            folder = session.new_run()
            content = self._photo(session, photo, folder)
            given = [
                (field, value)
                for field, value in zip(self._stylize, values, strict=True)
                if field.group != "any style image"
            ]
            options = arguments_of([field for field, _ in given], [value for _, value in given])
            style = ["--model", GALLERY, "--style", self._gallery[number]]
            return self._paint(session, folder, [str(content), *style, *options])

    def request_run(self, request: gradio.Request) -> str:
        """Note that an optimization was asked for; it begins when those of other pages have ended."""
        with self._session(request) as session, session.lock:
            session.wanted += 1
        return progress_bar(0.0, "Waiting for the optimizations of other pages")

    def optimize(
        self,
        request: gradio.Request,
        photo: str | None,
        painting: str | None,
        red: str | None,
        green: str | None,
        blue: str | None,
        editor: Any,
        again: bool,
        animation: bool,
        *values: Any,
    ) -> Iterator[list[Any]]:
        """Run the optimization that was asked for."""
        keep = gradio.skip()
        with self._session(request) as session:
            with session.lock:
                wanted, session.wanted = session.wanted, max(0, session.wanted - 1)
            if not wanted:
                yield [keep, progress_bar(0.0, "Stopped before it began"), keep, keep]
                return
            folder, content, paintings, masks = self._inputs(
                session, photo, painting, (red, green, blue), editor
            )
            arguments = [str(content), *map(str, paintings), *masks, *arguments_of(self._transfer, values)]
            if again:
                arguments += ["--init-image", str(self._last(session, folder / LAST))]
            command = _command(["transfer", *arguments, "-o", PICTURE], folder)
            shown = None
            for update in optimize(session, folder, arguments, bool(animation)):
                picture: Any = keep
                if update.preview is not None and update.preview != shown:
                    shown = update.preview
                    picture = str(shown)
                files: Any = keep
                if update.finished:
                    session.last = folder / PICTURE
                    files = _downloads(folder)
                yield [picture, progress_bar(update.done, session.plain(update.text)), command, files]

    @staticmethod
    def _last(session: Session, path: Path) -> Path:
        """Copy the newest result to ``path`` and return the path."""
        if session.last is None:
            raise InputError("there is no result yet: make one first")
        shutil.copyfile(session.last, path)
        return path

    def stop(self, request: gradio.Request) -> str:
        """Stop the optimization of the page."""
        session = self._sessions.find(request.session_hash)
        if session is None or not session.stop():
            return progress_bar(0.0, "No optimization is running")
        return progress_bar(1.0, "Stopping after this iteration")

    def reuse(self, request: gradio.Request) -> str:
        """Return the path of a copy of the newest result, to use it as the photograph."""
        with self._session(request) as session:
            return str(self._last(session, session.folder / f"result-{secrets.token_hex(4)}.png"))

    def close(self, request: gradio.Request) -> None:
        """Delete the files of a closed page."""
        self._sessions.close(request.session_hash)


def _downloads(folder: Path) -> list[str]:
    """Return the files of a run that the page offers."""
    names = (PICTURE, f"{PICTURE}.run.json", PLOT, ANIMATION, REGIONS, LAST)
    return [str(folder / name) for name in names if (folder / name).exists()]
