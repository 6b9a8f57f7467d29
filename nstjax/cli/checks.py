"""Checks for options that contradict each other, or have no effect without another option."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nstjax.cli.job import Arrangement, Job, Sources
from nstjax.cli.options import RunOptions
from nstjax.cli.options_synthesis import COMMANDS
from nstjax.errors import MOST, InputError, within
from nstjax.images.encode import check_place
from nstjax.images.mask_spec import LABELS, check_mask_spec
from nstjax.synthesis import TransferConfig
from nstjax.synthesis.config import MAX_SIDE


def check_given(command: str, given: Mapping[str, str | None]) -> None:
    """Raise :class:`InputError` for options that contradict each other or do not apply to a command.

    These checks use the arguments before parsing, because a default would hide such a contradiction afterwards.

    Args:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        given: the options on the command line, from :func:`~nstjax.cli.parse.scan`.
    """

    def contradict(one: str, other: str, why: str = "") -> None:
        if one in given and other in given:
            raise InputError(f"{one} and {other} contradict each other{why}: give one of them")

    contradict("--from", "--preset", " (a record has all settings)")
    for weight in ("--content-weight", "--style-weight"):
        for strength in ("--style-strength", "--strength-grid"):
            contradict(strength, weight, " (the strength sets the weights)")
    contradict("--style-strength", "--strength-grid")
    contradict("--content-layer", "--content-layers")
    COMMANDS[command].layout.check(command, given)
    init = given.get("--init")
    if given.get("--init-image") is not None and init not in (None, "image"):
        raise InputError(f"--init {init} and --init-image contradict each other: leave one of them out")


Needed = Callable[[Sources, TransferConfig], bool]


def _masked(sources: Sources, config: TransferConfig) -> bool:
    return bool(sources.arrangement.masks)


def _style_masked(sources: Sources, config: TransferConfig) -> bool:
    return bool(sources.arrangement.style_masks)


def _several(sources: Sources, config: TransferConfig) -> bool:
    return len(sources.styles) > 1


def _statistic(*names: str) -> Needed:
    return lambda sources, config: config.objective.style_statistic in names


def _windowed(sources: Sources, config: TransferConfig) -> bool:
    return config.objective.style_statistic == "gram" and not sources.arrangement.masks


WANTS: dict[str, tuple[Needed, str]] = {
    "--mask-carry": (_masked, "--masks"),
    "--guidance": (_masked, "--masks"),
    "--style-mask-carry": (_style_masked, "--style-masks"),
    "--blend": (_several, "several STYLEs"),
    "--style-weights": (_several, "several STYLEs"),
    "--colors-of": (lambda _, config: config.colors != "style", "a value of --colors other than style"),
    "--kernel-degree": (_statistic("polynomial"), "--style-statistic polynomial"),
    "--kernel-offset": (_statistic("polynomial"), "--style-statistic polynomial"),
    "--window-weight": (_windowed, "--style-statistic gram and no --masks"),
    "--windows": (lambda _, config: config.objective.window_weight > 0, "--window-weight"),
    "--bandwidth": (_statistic("gaussian"), "--style-statistic gaussian"),
    "--kernel-samples": (
        _statistic("gaussian", "polynomial", "sliced"),
        "--style-statistic gaussian, polynomial or sliced",
    ),
}


def check_wants(sources: Sources, config: TransferConfig, given: Mapping[str, str | None]) -> None:
    """Raise :class:`InputError` if an option has no effect because another option is missing.

    Args:
        sources: the image files and their arrangement.
        config: the config of the run.
        given: the options on the command line, from :func:`~nstjax.cli.parse.scan`.
    """
    for flag, (there, what) in WANTS.items():
        if flag in given and not there(sources, config):
            raise InputError(f"{flag} needs {what}: give that too, or leave it out")
    if "--style-scale" in given and "--style-size" in given:
        raise InputError("--style-scale and --style-size contradict each other: give one of them")
    arrangement = sources.arrangement
    if arrangement.masks and arrangement.style_weights:
        regions = arrangement.style_regions or range(len(sources.styles))
        if len(set(regions)) == len(sources.styles):
            raise InputError(
                "--style-weights needs several style images in one region, and each region has one: use "
                "--region-weights"
            )


_OF_VIDEOS = ("--temporal-weight", "--frame-iterations")
_NOT_OF_VIDEOS = (
    *("--gif", "--plot", "--snapshot-every", "--save-state-every", "--strength-grid"),
    *("--init-image", "--bits", "--quality"),
)


def check_video(video: bool, given: Mapping[str, str | None]) -> None:
    """Raise :class:`InputError` for an option of videos without a video, or an option that a video does not have.

    Args:
        video: whether the result is a video or an animation.
        given: the options on the command line, from :func:`~nstjax.cli.parse.scan`.
    """
    for flag in _NOT_OF_VIDEOS if video else _OF_VIDEOS:
        if flag in given:
            raise InputError(
                f"{flag} does not go with a video as CONTENT: leave it out"
                if video
                else f"{flag} needs a video as CONTENT: name one, or leave the option out"
            )


def check_values(options: RunOptions) -> None:
    """Raise :class:`InputError` for an option whose value is not valid."""
    for field, count in (
        ("save_state_every", options.save_state_every),
        ("snapshot_every", options.snapshot_every),
    ):
        within(field, count, 0, MOST, " (0 is never)")
    within("quality", options.quality, 1, 100)
    if options.gif is not None and options.gif.suffix.lower() != ".gif":
        raise InputError(f"the animation {options.gif} must end in .gif")
    if options.plot is not None and options.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"the plot {options.plot} must end in .png, .svg or .pdf")
    for path in (options.gif, options.plot):
        if path is not None:
            check_place(path)
    if options.resume and options.save_state_every == 0:
        raise InputError("--resume and --save-state-every 0 contradict each other: leave one of them out")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def check_shares(option: str, values: tuple[float, ...], count: int, what: str) -> None:
    """Raise :class:`InputError` unless ``values`` is empty or has ``count`` shares that can be normalized.

    Args:
        option: the option, for the message.
        values: the shares.
        count: the number of things that need a share.
        what: what is counted, such as ``"style"``, for the message.
    """
    if values and len(values) != count:
        raise InputError(
            f"{option} has {_count(len(values), 'value')} for {_count(count, what)}: give one for each"
        )
    if any(not 0 <= value < float("inf") for value in values):
        raise InputError(f"{option} must be finite numbers, 0 or more")
    if values and not sum(values) > 0:
        raise InputError(f"{option} are all 0: at least one must be greater than 0")


def check_sources(sources: Sources) -> None:
    """Check styles, masks and regions without opening an image file.

    Raises:
        InputError: If the numbers of values of several options do not match, a value is out of range, or a mask
            spec is malformed.
    """
    arrangement, styles = sources.arrangement, len(sources.styles)
    check_shares("--style-weights", arrangement.style_weights, styles, "style")
    for part in arrangement.proportions:
        within("proportions", part, 1, MAX_SIDE)
    grid = sources.strength_grid
    if any(not 0 < strength <= 1e6 for strength in grid):
        raise InputError("--strength-grid must be numbers greater than 0 and at most a million")
    if len(set(grid)) != len(grid):
        raise InputError("--strength-grid names a strength twice: name each once")
    for spec in (*arrangement.masks, *arrangement.style_masks):
        check_mask_spec(spec)
    if "rest" in arrangement.style_masks:
        raise InputError(
            "--style-masks does not accept rest, because each style image has its own mask: use not:MASK"
        )
    for option, given in (
        ("--style-regions", arrangement.style_regions),
        ("--region-weights", arrangement.region_weights),
    ):
        if given and not arrangement.masks:
            raise InputError(f"{option} needs regions: name them with --masks")
    if not arrangement.masks:
        if len(arrangement.style_masks) not in (0, styles):
            raise InputError(
                f"--style-masks has {_count(len(arrangement.style_masks), 'value')} for {_count(styles, 'style')}: "
                f"give one for each"
            )
    elif not any(
        spec.startswith(LABELS) for spec in arrangement.masks
    ):  # a label image has one region for each color
        check_region_counts(arrangement, styles, len(arrangement.masks))


def by_label(arrangement: Arrangement) -> bool:
    """Return True if the masks of the style images are the regions of one label image, matched by color."""
    return len(arrangement.style_masks) == 1 and arrangement.style_masks[0].startswith(LABELS)


def check_region_counts(arrangement: Arrangement, styles: int, regions: int) -> None:
    """Raise :class:`InputError` unless the numbers of styles, masks and regions match.

    Args:
        arrangement: the arrangement of the styles.
        styles: number of styles.
        regions: number of regions.
    """
    if arrangement.style_regions:
        if len(arrangement.style_regions) != styles:
            raise InputError(
                f"--style-regions has {_count(len(arrangement.style_regions), 'value')} for {_count(styles, 'style')}: "
                f"give one for each"
            )
        wrong = [n for n in arrangement.style_regions if not 1 <= n <= regions]
        if wrong:
            raise InputError(
                f"--style-regions names region {wrong[0]}: the regions are {regions}, counted from 1"
            )
        bare = sorted(set(range(1, regions + 1)) - set(arrangement.style_regions))
        if bare:
            raise InputError(
                f"--style-regions gives region {bare[0]} no style: give it one, or leave its mask out"
            )
    elif styles not in (1, regions):
        raise InputError(
            f"there are {_count(styles, 'style')} for {_count(regions, 'mask')}: give one STYLE for all, one for each, or say with "
            f"--style-regions which is for which"
        )
    if arrangement.style_masks and len(arrangement.style_masks) != regions and not by_label(arrangement):
        raise InputError(
            f"--style-masks has {_count(len(arrangement.style_masks), 'value')} for {_count(regions, 'region')}: give one "
            f"for each ('all' for no mask)"
        )
    check_shares("--region-weights", arrangement.region_weights, regions, "region")


def check_overwriting(jobs: list[Job], sheet: Path | None) -> None:
    """Raise :class:`InputError` if an output would replace an input or another output.

    Args:
        jobs: the jobs of one command line.
        sheet: the sheet of a strength grid, or None.
    """
    sources, output = jobs[0].sources, jobs[0].output
    inputs: list[tuple[str, Path | None]] = [
        *(("STYLE", path) for path in sources.styles),
        ("--init-image", sources.init_image),
        ("--weights", Path(jobs[0].network.weights)),
        ("--fine-style", sources.fine_style),
        *(("--masks", path) for path in sources.arrangement.mask_files()),
        *(("CONTENT", job.sources.content) for job in jobs),
    ]
    written: list[tuple[str, Path | None]] = [("-o", job.output.path) for job in jobs]
    written += [("--gif", output.gif), ("--plot", output.plot), ("-o", sheet)]
    taken = {path.resolve(): name for name, path in inputs if path is not None}
    for name, path in written:
        if path is None:
            continue
        other = taken.get(path.resolve())
        if other is not None:
            raise InputError(f"{name} {path} is also {other}, which would be overwritten: name another file")
        taken[path.resolve()] = name
