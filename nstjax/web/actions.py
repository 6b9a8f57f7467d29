"""The functions that the page's events call."""

import html
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio
import numpy as np
from PIL import Image

from nstjax.cli.flags import with_flags
from nstjax.cli.pictures import load_picture
from nstjax.cli.runtime import warnings_as_notes
from nstjax.errors import InputError
from nstjax.images import fit_long_side, resize
from nstjax.web.fields import Field, arguments_of
from nstjax.web.jobs import ANIMATION, PICTURE, PLOT, one_pass, optimize
from nstjax.web.session import DECODING, Session, Sessions

GALLERY = "gallery"  # the generator whose styles are shown as thumbnails
EDITOR_SIDE = 640  # pixels; longer side of the photograph on which regions are painted
BRUSHES = {"red": "#e6194b", "green": "#3cb44b", "blue": "#4363d8"}
REGIONS = "regions.png"


def _refused(error: InputError) -> gradio.Error:
    """Return the error that the page shows for bad input: one sentence."""
    return gradio.Error(
        html.escape(with_flags(str(error))), print_exception=False, title="This does not work", duration=15
    )


def progress_bar(done: float, text: str) -> str:
    """Return a progress bar with a line of text, as HTML."""
    return f'<progress max="1" value="{done:.4f}"></progress><div>{html.escape(text)}</div>'


def _command(words: Sequence[str], folder: Path) -> str:
    """Return a command line to copy, with the names of the files and without their folders."""
    names = [word.replace(f"{folder}/", "").replace(str(folder), ".") for word in words]
    return shlex.join(["nstjax", *names])


def regions(editor: dict[str, Any] | None, folder: Path) -> list[str]:
    """Write the painted regions to an image of labels.

    Args:
        editor: the value of the image editor: its layers are ``(h, w, 4)`` uint8.
        folder: folder of the image.

    Returns:
        The names of the brushes that were used; empty if nothing was painted.
    """
    layers = [np.asarray(layer) for layer in (editor or {}).get("layers") or [] if layer is not None]
    layers = [layer for layer in layers if layer.ndim == 3 and layer.shape[2] == 4]
    if not layers:
        return []
    colors = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in BRUSHES.values()])
    labels = np.zeros((*layers[0].shape[:2], 3), np.uint8)
    used: set[str] = set()
    for layer in layers:
        if layer.shape[:2] != labels.shape[:2]:
            continue
        painted = layer[..., 3] > 127
        nearest = ((layer[..., None, :3].astype(np.int32) - colors) ** 2).sum(-1).argmin(-1)
        labels[painted] = colors[nearest][painted]
        used |= {name for i, name in enumerate(BRUSHES) if (painted & (nearest == i)).any()}
    if used:
        Image.fromarray(labels).save(folder / REGIONS)
    return [name for name in BRUSHES if name in used]


def _styles(session: Session, painting: str | None, own: Sequence[str | None], editor: Any) -> list[Any]:
    """Return the files of the style images, and the arguments of ``--masks``.

    Raises:
        InputError: If a style image is missing or cannot be read.
    """
    used = regions(editor, session.folder)
    found, masks = [], []
    for name, upload in zip(BRUSHES, own, strict=True):
        if name not in used:
            continue
        if not upload:
            raise InputError(f"the region painted in {name} has no style image: add one, or erase the region")
        found.append(session.take(upload, f"painting-{name}"))
        masks.append(f"{session.folder / REGIONS}#{BRUSHES[name][1:]}")
    if painting:
        found.append(session.take(painting, "painting"))
        masks.append("rest")
    if not found:
        raise InputError("the style image is missing: add one, or choose an example below it")
    return [found, ["--masks", *masks] if used else []]


class Actions:
    """The functions that the page's events call. Gradio fills the arguments of type ``Request`` and ``SelectData``.

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

    def _photo(self, session: Session, photo: str | None) -> Path:
        if not photo:
            raise InputError("the photograph is missing: add one, or choose an example below it")
        return session.take(photo, "photo")

    def canvas(self, request: gradio.Request, photo: str | None) -> Any:
        """Return the photograph at a small size as the canvas of the regions; check it on the way."""
        if not photo:
            return None
        try:
            session = self._sessions.of(request.session_hash)
            path = self._photo(session, photo)
            with DECODING, warnings_as_notes(lambda note: None):
                image = load_picture(path, EDITOR_SIDE)
        except InputError as error:
            raise _refused(error) from error
        height, width = fit_long_side(image.shape[1], image.shape[2], EDITOR_SIDE)
        small = np.asarray(resize(image, height, width))[0].clip(0, 1)
        return {"background": (small * 255 + 0.5).astype(np.uint8), "layers": [], "composite": None}

    def _paint(self, session: Session, arguments: list[str]) -> list[Any]:
        folder = session.new_run()
        notes = one_pass(folder, arguments)
        files = [str(folder / PICTURE), str(folder / f"{PICTURE}.run.json")]
        text = "; ".join(["Finished", *notes])
        command = _command(["stylize", *arguments, "-o", PICTURE], session.folder)
        return [files[0], progress_bar(1.0, text), command, files]

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
        try:
            session = self._sessions.of(request.session_hash)
            content = self._photo(session, photo)
            paintings, masks = _styles(session, painting, (red, green, blue), editor)
            options = arguments_of(self._stylize, values)
            style = ",".join(map(str, paintings))
            return self._paint(session, [str(content), "--style", style, *masks, *options])
        except InputError as error:
            raise _refused(error) from error

    def paint_gallery(
        self, request: gradio.Request, event: gradio.SelectData, photo: str | None, *values: Any
    ) -> list[Any]:
        """Stylize in one pass with a style of the gallery."""
        try:
            session = self._sessions.of(request.session_hash)
            number = event.index if isinstance(event.index, int) else -1
            if not 0 <= number < len(self._gallery):
                raise InputError("the gallery has no such style: choose one of its thumbnails")
            content = self._photo(session, photo)
            fields = [
                (f, v) for f, v in zip(self._stylize, values, strict=True) if f.group != "any style image"
            ]
            options = arguments_of([f for f, _ in fields], [v for _, v in fields])
            style = ["--model", GALLERY, "--style", self._gallery[number]]
            return self._paint(session, [str(content), *style, *options])
        except InputError as error:
            raise _refused(error) from error

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
        """Run the optimization; yield the state of the page after each update."""
        try:
            session = self._sessions.of(request.session_hash)
            content = self._photo(session, photo)
            paintings, masks = _styles(session, painting, (red, green, blue), editor)
            arguments = [str(content), *map(str, paintings), *masks, *arguments_of(self._transfer, values)]
            if again:
                arguments += ["--init-image", str(self._last(session))]
            folder = session.new_run()
            command = _command(["transfer", *arguments, "-o", PICTURE], session.folder)
            shown = None
            for update in optimize(session, folder, arguments, animation):
                picture: Any = gradio.skip()
                if update.preview is not None and update.preview != shown:
                    shown = update.preview
                    picture = str(shown)
                files: Any = gradio.skip()
                if update.finished:
                    names = (PICTURE, f"{PICTURE}.run.json", PLOT, ANIMATION)
                    files = [str(folder / name) for name in names if (folder / name).exists()]
                yield [picture, progress_bar(update.done, update.text), command, files]
        except InputError as error:
            raise _refused(error) from error

    def _last(self, session: Session) -> Path:
        """Return a copy of the newest result that later runs do not delete."""
        last = None if session.run_folder is None else session.run_folder / PICTURE
        if last is None or not last.exists():
            raise InputError("there is no result to start from: make one first")
        copy = session.folder / "last.png"
        copy.write_bytes(last.read_bytes())
        return copy

    def stop(self, request: gradio.Request) -> str:
        """Ask the optimization to stop."""
        self._sessions.of(request.session_hash).stop()
        return progress_bar(1.0, "Stopping after this iteration")

    def reuse(self, request: gradio.Request) -> str:
        """Return the newest result, to use it as the photograph."""
        try:
            return str(self._last(self._sessions.of(request.session_hash)))
        except InputError as error:
            raise _refused(error) from error

    def close(self, request: gradio.Request) -> None:
        """Delete the files of a closed page."""
        self._sessions.close(request.session_hash)
