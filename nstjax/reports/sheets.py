"""Loss plots and contact sheets, by Matplotlib."""

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
"""A picture, ``(1, h, w, 3)`` in [0, 1] or none, and its caption."""


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """Matplotlib with its defaults, whatever a ``matplotlibrc`` says: that of the working folder could start LaTeX.

    Raises:
        InputError: Matplotlib cannot be imported because of such a file.
    """
    if "MPLCONFIGDIR" not in os.environ:  # its own choice may be a folder that cannot be written
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
    """Text without the parts of a file's name that are no text, which fonts cannot draw."""
    return text.encode("utf-8", "backslashreplace").decode()


def _figure(width: float, height: float) -> Any:
    # The object interface: no global state, no display, safe in any thread.
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
    """Plot loss and terms against iterations, on a logarithmic axis.

    Args:
        path: ``.png``, ``.svg`` or ``.pdf``.
        history: entries of a run record: ``scale``, ``loss``, ``terms``, in order.
        title: above the axes.
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
            axes.axvline(i + 0.5, color="grey", linestyle=":", linewidth=0.8)
    axes.set(xlabel="iteration", ylabel="weighted loss", yscale="log")
    axes.set_title(_printable(title), parse_math=False)
    axes.legend(fontsize="x-small", ncols=2)
    _save(figure, path)


@_own_settings()
def contact_sheet(path: Path, rows: Sequence[Sequence[Cell]], title: str = "", cell: float = 2.9) -> None:
    """A grid of captioned pictures.

    Args:
        path: ``.png`` or ``.jpg``.
        rows: of cells ``(image, caption)``; an image is ``(1, h, w, 3)`` in [0, 1], or ``None`` for a
            cell of text alone.
        title: above the grid; says weights and layers really used.
        cell: width of a cell in inches.
    """
    columns = max(len(row) for row in rows)
    heights = []  # of each row in inches: its tallest picture and its captions
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
