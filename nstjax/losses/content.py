"""Content losses: distances between the activations of two images at one layer."""

from nstjax.errors import one_of
from nstjax.losses.distance import distance, relative
from nstjax.typing import FeatureMap, Scalar

CONTENT_LOSSES = ("half_sum", "sum", "mean", "relative")


def content_loss(
    features: FeatureMap, target: FeatureMap, normalization: str = "half_sum", kind: str = "squared"
) -> Scalar:
    """Distance of activations from a target's, position by position.

    With ``d(·)`` the square or the absolute value (thesis, section 4.3):

    ============== =========================================================================
    ``half_sum``   ½ Σ d(F − P): Gatys et al. 2016, eq. 1; reports 001 and 002
    ``sum``        Σ d(F − P): Stanford poster
    ``mean``       mean d(F − P): Johnson et al. 2016, eq. 2
    ``relative``   Σ d(F − P) / Σ d(P): independent of the layer's scale and of the size
    ============== =========================================================================

    Args:
        features: ``(n, h, w, c)``.
        target: the same shape, or ``(1, h, w, c)``.
        normalization: a name of the table.
        kind: ``"squared"`` or ``"absolute"``.

    Returns:
        A scalar, summed over the batch (averaged for ``mean``).

    Raises:
        InputError: an unknown name.
    """
    one_of("normalization", normalization, CONTENT_LOSSES)
    d = distance(features - target, kind)
    return d.mean() if normalization == "mean" else content_of_sum(d.sum(), target, normalization, kind)


def content_of_sum(total: Scalar, target: FeatureMap, normalization: str, kind: str) -> Scalar:
    """:func:`content_loss` of one image from ``Σ d(F − P)``, which may have been added up in parts."""
    one_of("normalization", normalization, CONTENT_LOSSES)
    if normalization == "half_sum":
        return 0.5 * total
    if normalization == "sum":
        return total
    if normalization == "mean":
        return total / target.size
    return relative(total, distance(target, kind).sum())
