"""Content losses: distances between the activations of two images at a layer."""

from nstjax.errors import one_of
from nstjax.losses.distance import distance, relative
from nstjax.typing import FeatureMap, Scalar

CONTENT_LOSSES = ("half_sum", "sum", "mean", "relative")


def content_loss(
    features: FeatureMap, target: FeatureMap, normalization: str = "half_sum", kind: str = "squared"
) -> Scalar:
    """Compute the distance between activations and target activations, position by position.

    Here ``d(·)`` is the square or the absolute value (the Pomona thesis (Barnes 2018), section 4.3):

    ============== =========================================================================
    ``half_sum``   ½ Σ d(F − P): Gatys et al. 2016, eq. 1; the Brown and Ahmedabad reports
    ``sum``        Σ d(F − P): the Stanford poster
    ``mean``       mean d(F − P): Johnson et al. 2016, eq. 2
    ``relative``   Σ d(F − P) / Σ d(P): independent of the scale of the activations and of the size
    ============== =========================================================================

    Args:
        features: ``F``, ``(n, h, w, c)``.
        target: ``P``, the same shape or ``(1, h, w, c)``.
        normalization: a name in the table.
        kind: ``"squared"`` or ``"absolute"``.

    Returns:
        A scalar, summed over the batch (averaged for ``mean``). ``relative`` divides the sum over the batch by the
        sum over all targets: with a target for each image, it is the ratio of the sums.

    Raises:
        InputError: If a name is unknown.
    """
    one_of("normalization", normalization, CONTENT_LOSSES)
    d = distance(features - target, kind)
    return d.mean() if normalization == "mean" else content_of_sum(d.sum(), target, normalization, kind)


def content_of_sum(total: Scalar, target: FeatureMap, normalization: str, kind: str) -> Scalar:
    """Compute the content loss of one image from ``Σ d(F − P)``, which may have been added up in parts.

    Args:
        total: ``Σ d(F − P)``.
        target: ``P``, ``(1, h, w, c)``.
        normalization: see :func:`content_loss`.
        kind: see :func:`content_loss`.

    Returns:
        A scalar.

    Raises:
        InputError: If a name is unknown.
    """
    one_of("normalization", normalization, CONTENT_LOSSES)
    if normalization == "half_sum":
        return 0.5 * total
    if normalization == "sum":
        return total
    if normalization == "mean":
        return total / target.size
    return relative(total, distance(target, kind).sum())
