"""The inputs and outputs of ``nstjax stylize``, which are checked before the first output is computed."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from nstjax.cli.any_style import input_files, split_styles
from nstjax.cli.job import record_path, with_path
from nstjax.cli.media import Kind, check_alone, check_side, kind_of
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.errors import InputError
from nstjax.files import check_replaceable
from nstjax.generators.store import is_generator_folder
from nstjax.images import check_output, find_images
from nstjax.images.animation import ANIMATION_SUFFIXES
from nstjax.images.folder import Skipped
from nstjax.images.video import VIDEO_SUFFIXES
from nstjax.images.video_input import pyav


@dataclasses.dataclass(frozen=True)
class StylizeJob:
    """One output file.

    Attributes:
        source: the input file; None for a texture.
        output: the output file.
        kind: the kind of the input; ``"texture"`` if there is none.
    """

    source: Path | None
    output: Path
    kind: Kind


def _written_as(source: Path) -> str:
    """Return the suffix of an animation's output: that of the source, or .gif if it is not one of an animation."""
    suffix = source.suffix.lower()
    return suffix if suffix in ANIMATION_SUFFIXES else ".gif"


def _in_folder(sources: Sequence[Path], folder: Path, suffix: str) -> list[StylizeJob]:
    """Return the jobs for outputs in a folder.

    An output has the stem of its source's name, or its whole name if several sources have the same stem.
    """
    stems = [source.stem.casefold() for source in sources]  # some file systems ignore case
    jobs = []
    for source in sources:
        kind = kind_of(source)
        own = source.suffix.lower()
        if kind == "video":
            ending = own if own in VIDEO_SUFFIXES else ".mp4"
        else:
            ending = _written_as(source) if kind == "animation" else suffix
        name = source.stem if stems.count(source.stem.casefold()) == 1 else source.name
        jobs.append(StylizeJob(source, folder / f"{name}{ending}", kind))
    return jobs


def _check_overwriting(jobs: Sequence[StylizeJob], others: Mapping[str, Path]) -> None:
    """Raise :class:`InputError` if an output would replace an input or another output.

    Args:
        jobs: the jobs.
        others: further inputs by option and number.
    """
    inputs = {path.resolve(): name.split()[0] for name, path in others.items()}
    inputs |= {job.source.resolve(): "PHOTO" for job in jobs if job.source is not None}
    taken: dict[Path, str] = {}
    for job in jobs:
        where = job.output.resolve()
        if where in inputs:
            raise InputError(
                f"-o {job.output} is also {inputs[where]}, which would be overwritten: name another place"
            )
        if where in taken:
            raise InputError(
                f"{taken[where]} and {job.source} would both be written to {job.output}: use separate output folders"
            )
        taken[where] = str(job.source)


def stylize_jobs(
    options: StylizeOptions, skipped: list[Skipped] | None = None
) -> tuple[list[StylizeJob], bool]:
    """Return the jobs, and True if their outputs are written to a folder.

    Args:
        options: the options of the command.
        skipped: receives the files of folders that are not used, with the reasons.

    Raises:
        InputError: If ``-o`` is missing, an output cannot be written, cannot have the side of ``--size`` or would
            replace an input or another output, a folder has no image, or an input is a video and PyAV is not
            installed.
    """
    output = options.output
    if output is None:
        raise InputError("-o is missing: name the file or folder to write with -o OUT")
    if not options.photographs:
        check_output(output, options.bits)
        check_side(output, options.size or 0)
        check_replaceable(record_path(output))
        return [StylizeJob(None, output, "texture")], False
    sources: list[Path] = []
    for path in options.photographs:
        found = find_images(path, skipped) if path.is_dir() else [path]
        sources += [source for source in found if source not in sources]
    for video in (source for source in sources if kind_of(source) == "video"):
        pyav(video)
    together = len(options.photographs) > 1 or options.photographs[0].is_dir()
    if together:
        if (output.suffix and not output.is_dir()) or output.is_file():
            raise InputError(
                f"there are several PHOTOs, so -o {output} must be a folder: leave out the suffix, or choose another"
            )
        check_output(Path(f"picture.{options.format}"), options.bits)
        jobs = _in_folder(sources, output, f".{options.format}")
    else:
        check_alone(sources[0], output, options.bits)
        jobs = [StylizeJob(sources[0], output, kind_of(sources[0]))]
    _check_overwriting(jobs, input_files(options))
    for job in jobs:
        check_side(job.output, options.size or 0)
    if not together:
        check_replaceable(record_path(output))
    return jobs, together


def absolute_jobs(jobs: Sequence[StylizeJob]) -> list[StylizeJob]:
    """Return the jobs with absolute paths, for other processes."""
    return [
        StylizeJob(None if job.source is None else job.source.absolute(), job.output.absolute(), job.kind)
        for job in jobs
    ]


def for_any_machine(options: StylizeOptions) -> StylizeOptions:
    """Return the options for other processes: with absolute paths, and pictures that are finished kept."""
    style, model = options.style, options.model
    if model is None and style is not None:
        named = split_styles(style)
        if len(named) > 1 and any("," in str(path.absolute()) for path, _ in named):
            raise InputError(
                f"--style {style}: --cluster cannot pass on a path with a comma; rename its folder"
            )
        style = ",".join(
            f"{path.absolute()}" + ("" if weight is None else f":{weight}") for path, weight in named
        )
    if model is not None and is_generator_folder(model):
        model = str(Path(model).absolute())
    masks = tuple(with_path(spec, lambda path: str(path.absolute())) for spec in options.masks)
    return dataclasses.replace(options, style=style, model=model, masks=masks, resume=True)
