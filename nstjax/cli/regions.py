"""From mask descriptions and shares to the styles and regions of a transfer."""

from collections.abc import Sequence

import numpy as np

from nstjax.cli.commands import StyleOptions, TextureOptions, TransferOptions
from nstjax.errors import InputError, within
from nstjax.images.mask_spec import check_mask_spec
from nstjax.images.masks import Mask, read_masks
from nstjax.synthesis import Style, StyleRegion
from nstjax.synthesis.config import MAX_SIDE
from nstjax.typing import Images

LABELS = "labels:"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _check_shares(option: str, values: Sequence[float], count: int, what: str) -> None:
    if values and len(values) != count:
        raise InputError(
            f"{option} has {_count(len(values), 'value')} for {_count(count, what)}: give one for each"
        )
    if any(not 0 <= value < float("inf") for value in values):
        raise InputError(f"{option} must be finite numbers, 0 or more")
    if values and not sum(values) > 0:
        raise InputError(f"{option} are all 0: give one of them a share")


def check_regions(options: StyleOptions) -> None:
    """What can be told of styles and masks without opening a file.

    Raises:
        InputError: numbers of options do not fit each other, or a mask's description is malformed.
    """
    _check_shares("--style-weights", options.style_weights, len(options.styles), "style")  # type: ignore[attr-defined]
    for part in options.proportions if isinstance(options, TextureOptions) else ():
        within("proportions", part, 1, MAX_SIDE)
    if not isinstance(options, TransferOptions):
        return
    if any(not 0 < strength <= 1e6 for strength in options.strength_grid):
        raise InputError("--strength-grid must be numbers greater than 0 and at most a million")
    if len(set(options.strength_grid)) != len(options.strength_grid):
        raise InputError("--strength-grid names a strength twice: name each once")
    for spec in (*options.masks, *options.style_masks):
        check_mask_spec(spec)
    if "rest" in options.style_masks:
        raise InputError("--style-masks rest: each painting is looked at alone; name the part as not:MASK")
    for option, given in (
        ("--style-regions", options.style_regions),
        ("--region-weights", options.region_weights),
    ):
        if given and not options.masks:
            raise InputError(f"{option} wants regions: name them with --masks")
    if not options.masks:
        if len(options.style_masks) not in (0, len(options.styles)):
            raise InputError(
                f"--style-masks has {_count(len(options.style_masks), 'value')} for {_count(len(options.styles), 'style')}: "
                f"give one for each"
            )
        return
    if not any(spec.startswith(LABELS) for spec in options.masks):
        _check_counts(options, len(options.masks))
        _check_shares("--region-weights", options.region_weights, len(options.masks), "region")


def _check_counts(options: TransferOptions, regions: int) -> None:
    """Whether styles, masks and regions fit each other."""
    styles = len(options.styles)
    if options.style_regions:
        if len(options.style_regions) != styles:
            raise InputError(
                f"--style-regions has {_count(len(options.style_regions), 'value')} for {_count(styles, 'style')}: give one "
                f"for each"
            )
        wrong = [n for n in options.style_regions if not 1 <= n <= regions]
        if wrong:
            raise InputError(
                f"--style-regions names region {wrong[0]}: the regions are {regions}, counted from 1"
            )
        bare = sorted(set(range(1, regions + 1)) - set(options.style_regions))
        if bare:
            raise InputError(
                f"--style-regions gives region {bare[0]} no style: give it one, or leave its mask out"
            )
    elif styles not in (1, regions):
        raise InputError(
            f"there are {_count(styles, 'style')} for {_count(regions, 'mask')}: give one STYLE for all, one for each, or say with "
            f"--style-regions which is for which"
        )
    if options.style_masks and len(options.style_masks) != regions and not _by_label(options):
        raise InputError(
            f"--style-masks has {_count(len(options.style_masks), 'value')} for {_count(regions, 'region')}: give one for each "
            f"('all' for no mask)"
        )


def _by_label(options: TransferOptions) -> bool:
    return len(options.style_masks) == 1 and options.style_masks[0].startswith(LABELS)


def build_styles(
    options: StyleOptions, content: Images | None, paintings: Sequence[np.ndarray]
) -> list[Style] | list[StyleRegion]:
    """The styles of a run, or its regions where there are masks.

    Raises:
        InputError: a mask cannot be read or is empty, or numbers of masks and styles do not fit.
    """
    weights = options.style_weights or (1.0,) * len(paintings)
    if not isinstance(options, TransferOptions) or not options.masks:
        specs = options.style_masks if isinstance(options, TransferOptions) else ()
        masks = [_one(spec, image) for spec, image in zip(specs, paintings, strict=bool(specs))]
        return [Style(image, masks[i] if masks else None, weights[i]) for i, image in enumerate(paintings)]
    assert content is not None
    found = read_masks(options.masks, np.asarray(content))
    _check_counts(options, len(found))
    _check_shares("--region-weights", options.region_weights, len(found), "region")
    if options.style_regions:
        owners: list[list[int]] = [
            [i for i, region in enumerate(options.style_regions) if region == k + 1]
            for k in range(len(found))
        ]
    else:
        owners = [[0] if len(paintings) == 1 else [k] for k in range(len(found))]
    return [
        StyleRegion(
            tuple(
                Style(paintings[i], _style_mask(options, k, mask, paintings[i]), weights[i])
                for i in owners[k]
            ),
            mask.values,
            options.region_weights[k] if options.region_weights else 1.0,
            f"region {k + 1} ({mask.name})",
        )
        for k, mask in enumerate(found)
    ]


def _one(spec: str, image: np.ndarray) -> np.ndarray | None:
    """The mask of one description; none for all of the image."""
    if spec == "all":
        return None
    masks = read_masks([spec], image)
    if len(masks) != 1:
        raise InputError(f"{spec} has {len(masks)} regions where one is wanted: name a colour, FILE#RRGGBB")
    return masks[0].values


def _style_mask(options: TransferOptions, region: int, mask: Mask, painting: np.ndarray) -> np.ndarray | None:
    """The part of a painting that counts for a region; for labels, that of the region's colour."""
    if not options.style_masks:
        return None
    if not _by_label(options):
        return _one(options.style_masks[region], painting)
    spec = options.style_masks[0]
    if not mask.color:
        raise InputError(
            f"--style-masks {spec} wants --masks labels:FILE, whose colours its own are matched with"
        )
    for candidate in read_masks([spec], painting):
        if candidate.color == mask.color:
            return candidate.values
    raise InputError(
        f"--style-masks {spec} has no region for {mask.name}: paint a part of it in that colour, #{mask.color}"
    )
