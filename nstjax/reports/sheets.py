"""Loss plots and contact sheets, drawn with Matplotlib."""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.files import cache_folder, write_atomically

Cell = tuple[np.ndarray | None, str]
"""An image, ``(1, h, w, 3)`` in [0, 1], or None, and its caption."""


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """Use Matplotlib's defaults inside the block.

    A ``matplotlibrc`` in the working folder is not trusted: it could start LaTeX.

    Raises:
        InputError: If Matplotlib cannot be imported because of such a file.
    """
    if "MPLCONFIGDIR" not in os.environ:  # Matplotlib's own default may not be writable
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")
    try:
        import matplotlib
    except Exception as error:
        if not Path("matplotlibrc").exists():
            raise
        raise InputError("matplotlibrc in the working folder cannot be read: remove it") from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def _printable(text: str) -> str:
    """Return the text with bytes that are not valid text, which occur in file names, as escape sequences."""
    return text.encode("utf-8", "backslashreplace").decode()


def _figure(width: float, height: float) -> Any:
    # Matplotlib's object interface needs no display, has no global state, and is safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=110)
    write_atomically(path, buffer.getvalue())


@_own_settings()
def loss_plot(path: Path, history: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Plot the loss and its terms against iterations, on a logarithmic axis.

    Args:
        path: output file, ``.png``, ``.svg`` or ``.pdf``.
        history: entries of a run record with ``scale``, ``loss`` and ``terms``, in order. A dotted line marks
            each change of scale.
        title: title of the plot.

    Raises:
        OutputError: If the file cannot be written.
        InputError: If Matplotlib cannot be imported because of a ``matplotlibrc`` in the working folder.
    """
    figure = _figure(7, 4.2)
    axes = figure.subplots()
    iterations = np.arange(1, len(history) + 1)
    axes.plot(iterations, [entry["loss"] for entry in history], color="black", linewidth=1.6, label="loss")
    for name in history[0]["terms"] if history else ():
        values = np.array([entry["terms"].get(name, np.nan) for entry in history])
        if (values > 0).any():
            axes.plot(iterations, np.where(values > 0, values, np.nan), linewidth=0.9, label=name)
    for i in range(1, len(history)):
        if history[i]["scale"] != history[i - 1]["scale"]:
            axes.axvline(i + 0.5, color="gray", linestyle=":", linewidth=0.8)
    axes.set(xlabel="iteration", ylabel="weighted loss", yscale="log")
    axes.set_title(_printable(title), parse_math=False)
    axes.legend(fontsize="x-small", ncols=2)
    _save(figure, path)


@_own_settings()
def contact_sheet(path: Path, rows: Sequence[Sequence[Cell]], title: str = "", cell: float = 2.9) -> None:
    """Write a grid of captioned images.

    Args:
        path: output file, ``.png`` or ``.jpg``.
        rows: cells ``(image, caption)`` of each row; an image is ``(1, h, w, 3)`` in [0, 1], or None for a
            cell with text only. Rows may have different lengths.
        title: title of the sheet, for example the weights and layers that were used.
        cell: width of a cell in inches.

    Raises:
        OutputError: If the file cannot be written.
        InputError: If Matplotlib cannot be imported because of a ``matplotlibrc`` in the working folder.
    """
    columns = max(len(row) for row in rows)
    heights = []  # height of each row in inches, for its tallest image and its captions
    for row in rows:
        ratios = [image.shape[-3] / image.shape[-2] for image, _ in row if image is not None]
        lines = max(caption.count("\n") + 1 for _, caption in row)
        heights.append(cell * max(ratios, default=0.2) + 0.2 * lines)
    figure = _figure(cell * columns, sum(heights) + 0.5)
    grid = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes_row, row in zip(grid, rows, strict=True):
        for axes in axes_row:
            axes.axis("off")
        for axes, (image, caption) in zip(axes_row, row, strict=False):
            if image is not None:
                axes.imshow(np.clip(image.reshape(image.shape[-3:]), 0, 1), interpolation="lanczos")
                axes.set_title(_printable(caption), fontsize=8, parse_math=False)
            else:
                axes.text(
                    0.5,
                    0.5,
                    _printable(caption),
                    ha="center",
                    va="center",
                    fontsize=9,
                    transform=axes.transAxes,
                    parse_math=False,
                )
    figure.suptitle(_printable(title), fontsize=9, parse_math=False)
    _save(figure, path)
