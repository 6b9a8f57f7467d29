"""The pictures to make, everything checked that can be before work begins."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from nstjax.cli.commands import Options, ReconstructOptions, TransferOptions, content_of, name_of, styles_of
from nstjax.errors import InputError
from nstjax.files import check_replaceable
from nstjax.images import check_output, find_images
from nstjax.images.folder import Skipped
from nstjax.images.mask_spec import mask_files
from nstjax.synthesis import TransferConfig

LONGEST_WEBP_SIDE = 16383


def record_path(output: Path) -> Path:
    """``OUT.run.json``, beside the output."""
    return output.with_name(f"{output.name}.run.json")


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make: everything resolved and checked that can be before work begins."""

    content: Path | None
    styles: tuple[Path, ...]
    init: Path | None
    output: Path
    options: Options
    config: TransferConfig

    @property
    def label(self) -> str:
        """The photograph's name, or the first painting's."""
        return (self.content or self.styles[0]).name


def _check_overwriting(options: Options, jobs: Sequence[Job]) -> None:
    """Raise :class:`InputError` where an output would replace an input, or another output."""
    inputs: list[tuple[str, Path | None]] = [
        *(("STYLE", path) for path in styles_of(options)),
        ("--init-image", options.init_image),
        ("--weights", Path(options.network.weights)),
    ]
    if not isinstance(options, ReconstructOptions):
        inputs.append(("--fine-style", options.fine_style))
    if isinstance(options, TransferOptions):
        inputs += [("--masks", path) for path in mask_files((*options.masks, *options.style_masks))]
    outputs = {"--gif": options.gif, "--plot": options.plot}
    taken = {path.resolve(): name for name, path in inputs if path is not None}
    taken |= {job.content.resolve(): "CONTENT" for job in jobs if job.content is not None}
    written = [("-o", job.output) for job in jobs] + [(name, path) for name, path in outputs.items() if path]
    if isinstance(options, TransferOptions) and options.strength_grid and options.output is not None:
        written.append(("-o", options.output))
    for name, path in written:
        other = taken.get(path.resolve())
        if other is not None:
            raise InputError(f"{name} {path} is also {other}, which would be overwritten: name another file")
        taken[path.resolve()] = name


def _targets(
    options: Options, config: TransferConfig, skipped: list[Skipped] | None
) -> list[tuple[Path | None, Path, TransferConfig]]:
    """Photograph, output and config of each picture."""
    content, output = content_of(options), options.output
    assert output is not None
    grid = options.strength_grid if isinstance(options, TransferOptions) else ()
    if content is not None and content.is_dir():
        if name_of(options) == "reconstruct":
            raise InputError(f"{content} is a folder where an image file is wanted: name one file in it")
        photographs = find_images(content, skipped)
        if options.gif is not None or options.plot is not None:
            raise InputError("--gif and --plot name one file, but CONTENT is a folder: leave them out")
        if grid:
            raise InputError("--strength-grid is of one photograph, but CONTENT is a folder: name one in it")
        if (output.suffix and not output.is_dir()) or output.is_file():
            raise InputError(
                f"CONTENT is a folder, so -o {output} must be a folder too: leave out the suffix"
            )
        if output.exists() and output.resolve() == content.resolve():
            raise InputError(
                f"-o {output} is the folder of the photographs, which would be overwritten: name another"
            )
        # Two photographs that differ in suffix alone must not write one picture.
        plain = len({photograph.stem for photograph in photographs}) == len(photographs)
        return [(p, output / f"{p.stem if plain else p.name}.png", config) for p in photographs]
    kind = check_output(output, options.bits)
    if kind == "WEBP" and config.pyramid()[-1] > LONGEST_WEBP_SIDE:
        raise InputError(
            f"the output {output} can have {LONGEST_WEBP_SIDE} pixels a side: choose .png or .tiff"
        )
    if not grid:
        return [(content, output, config)]
    if options.gif is not None or options.plot is not None:
        raise InputError("--gif and --plot name one file, but --strength-grid makes many: leave them out")
    if kind not in ("PNG", "JPEG"):
        raise InputError(f"the sheet {output} of --strength-grid must end in .png or .jpg")
    return [
        (
            content,
            output.with_name(f"{output.stem}_strength{strength:.10g}{output.suffix}"),
            dataclasses.replace(config, style_strength=strength),
        )
        for strength in grid
    ]


def make_jobs(options: Options, config: TransferConfig, skipped: list[Skipped] | None = None) -> list[Job]:
    """One picture; or one for each photograph of a folder, or for each strength.

    Args:
        options: of the command.
        config: likewise.
        skipped: receives the files of a folder that are not used, with the reasons.

    Raises:
        InputError: the output cannot be written or would replace an input, the folder has no photograph,
            or options name one file where there are many.
    """
    jobs = [
        Job(photograph, styles_of(options), options.init_image, target, options, own)
        for photograph, target, own in _targets(options, config, skipped)
    ]
    _check_overwriting(options, jobs)
    for job in jobs:
        if job.output.parent.is_dir():  # a folder's output is made later
            check_replaceable(record_path(job.output))
    return jobs


def make_output_folder(folder: Path) -> None:
    """Make the folder of a folder's pictures, when all else is known to be well.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place"
        ) from error
    check_output(folder / "picture.png")
