"""``nstjax stylize --sheet``: a sheet with one photograph in every style of a model."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from nstjax.cli.display import Display
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.painters import by_generator
from nstjax.cli.stylize_jobs import StylizeJob
from nstjax.errors import InputError
from nstjax.files import save_elsewhere
from nstjax.generators.store import Generator
from nstjax.generators.styles import select_style, style_names
from nstjax.images.display import read_thumbnail
from nstjax.reports import Cell, contact_sheet

INSET_FRAME = 2  # pixels
SHEET_SIDE, SHEET_COLUMNS = 512, 4  # longer side of the pictures of a sheet in pixels, pictures in a row


def check_sheet(options: StylizeOptions, jobs: Sequence[StylizeJob], together: bool) -> None:
    """Raise :class:`InputError` if a sheet cannot be made of the given options."""
    if options.style is not None:
        raise InputError("--sheet shows every style of the model: leave out --style")
    if together or jobs[0].kind != "photograph":
        raise InputError("--sheet is made of one photograph: give one PHOTO")
    if jobs[0].output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"the sheet {jobs[0].output} must end in .png or .jpg")


def _thumbnails(generator: Generator) -> dict[int, np.ndarray]:
    """Return the thumbnails of the style images, by number from 0, as far as the model has them."""
    entries = generator.record.get("styles")
    found: dict[int, np.ndarray] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        text = entry.get("thumbnail") if isinstance(entry, dict) else None
        if isinstance(text, str):
            found[number] = read_thumbnail(text)
    return found


def _with_inset(picture: np.ndarray, inset: np.ndarray | None) -> np.ndarray:
    """Return the picture with a small image, framed in white, in its lower right corner."""
    if inset is None or min(picture.shape[1:3]) < 2 * inset.shape[1]:
        return picture
    framed = np.pad(inset, ((0, 0), (INSET_FRAME,) * 2, (INSET_FRAME,) * 2, (0, 0)), constant_values=1)
    result = picture.copy()
    result[:, -framed.shape[1] :, -framed.shape[2] :] = framed
    return result


def write_sheet(generator: Generator, options: StylizeOptions, job: StylizeJob, photo: np.ndarray) -> int:
    """Write a sheet with the photograph in every style; return the exit code."""
    if options.size is None and max(photo.shape[1:3]) > SHEET_SIDE:
        options = dataclasses.replace(options, size=SHEET_SIDE)
    cells: list[Cell] = [(photo, "photograph")]
    names, thumbnails = style_names(generator), _thumbnails(generator)
    with Display(job.output.name, options.quiet) as display:
        for number, name in enumerate(names):
            weights = np.eye(len(names), dtype=np.float32)[number]
            picture = by_generator(select_style(generator, weights), options)(photo)
            cells.append((_with_inset(picture, thumbnails.get(number)), f"{number + 1} {name}"))
            display.update((number + 1) / len(names), job.output.name)
        rows = [cells[at : at + SHEET_COLUMNS] for at in range(0, len(cells), SHEET_COLUMNS)]
        save_elsewhere(
            job.output, lambda path: contact_sheet(path, rows, f"the styles of {options.model}"), "the sheet"
        )
        display.say(f"wrote {job.output} ({len(names)} styles)")
    return 0
