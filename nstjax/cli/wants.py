"""Options that say something only beside others: given without them, they would be believed to do something."""

from collections.abc import Callable

from nstjax.cli.commands import Options, TransferOptions, styles_of
from nstjax.errors import InputError


def _masked(options: Options) -> bool:
    return isinstance(options, TransferOptions) and bool(options.masks)


def _style_masked(options: Options) -> bool:
    return isinstance(options, TransferOptions) and bool(options.style_masks)


def _statistic(*names: str) -> Callable[[Options], bool]:
    return lambda options: options.objective.style_statistic in names


def _windowed(options: Options) -> bool:
    return options.objective.style_statistic == "gram" and not _masked(options)


WANTS: dict[str, tuple[Callable[[Options], bool], str]] = {
    "--mask-carry": (_masked, "--masks"),
    "--guidance": (_masked, "--masks"),
    "--style-mask-carry": (_style_masked, "--style-masks"),
    "--blend": (lambda options: len(styles_of(options)) > 1, "several STYLEs"),
    "--style-weights": (lambda options: len(styles_of(options)) > 1, "several STYLEs"),
    "--colors-of": (lambda options: options.settings.colors != "style", "--colors with a way to change them"),
    "--kernel-degree": (_statistic("polynomial"), "--style-statistic polynomial"),
    "--kernel-offset": (_statistic("polynomial"), "--style-statistic polynomial"),
    "--window-weight": (_windowed, "--style-statistic gram and no --masks"),
    "--windows": (lambda options: options.objective.window_weight > 0, "--window-weight"),
    "--bandwidth": (_statistic("gaussian"), "--style-statistic gaussian"),
    "--kernel-samples": (
        _statistic("gaussian", "polynomial", "sliced"),
        "--style-statistic gaussian, polynomial or sliced",
    ),
}


def check_wants(options: Options, given: set[str]) -> None:
    """Raise :class:`InputError` where an option is given without what it is about."""
    for flag, (there, what) in WANTS.items():
        if flag in given and not there(options):
            raise InputError(f"{flag} wants {what}: give that too, or leave it out")
    if {"--style-scale", "--style-size"} <= given:
        raise InputError("--style-scale and --style-size contradict each other: give one of them")
    if isinstance(options, TransferOptions) and options.masks and options.style_weights:
        regions = options.style_regions or range(len(options.styles))
        if len(set(regions)) == len(options.styles):
            raise InputError(
                "--style-weights are shares within a region, and each region has one style: --region-weights may be "
                "meant"
            )
