"""Content losses: the distance between two images' activations at one layer."""

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
    one_of("the content loss", normalization, CONTENT_LOSSES)
    d = distance(features - target, kind)
    if normalization == "half_sum":
        return 0.5 * d.sum()
    if normalization == "sum":
        return d.sum()
    if normalization == "mean":
        return d.mean()
    return relative(d.sum(), distance(target, kind).sum())
