"""Color transfer: luminance transfer, histogram matching, and linear maps of colors."""

import numpy as np

from nstjax.errors import InputError, one_of
from nstjax.pixels import check_floating
from nstjax.typing import Images

COLOR_TRANSFERS = ("histogram", "cholesky", "pca", "symmetric")
RIDGE = 1e-5  # on the diagonal of both covariances, as in Gatys's code
FLAT = 1e-6  # a standard deviation below it is rounding of float32, not contrast


def _image(name: str, image: Images) -> np.ndarray:
    """``(h, w, 3)`` float64."""
    check_floating(f"{name} image", image)
    array = np.asarray(image, np.float64)
    if array.ndim != 4 or array.shape[::3] != (1, 3) or array.size == 0:
        raise InputError(f"the {name} image has shape {array.shape}: it must be (1, height, width, 3)")
    return array[0]


def _weights(name: str, weights: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    """The mask of an image of ``(h, w, 3)``; ones where there is none."""
    if weights is None:
        return np.ones(image.shape[:2])
    weights = np.asarray(weights, np.float64)
    if weights.shape != image.shape[:2]:
        raise InputError(
            f"the {name} weights have shape {weights.shape} where the image has {image.shape[:2]}: "
            f"resize the mask to the image"
        )
    # Resampling leaves rounding beyond the ends; NaN fails both comparisons.
    if not (weights.min() >= -1e-6 and weights.max() <= 1 + 1e-6):
        raise InputError(f"the {name} weights must be finite and within [0, 1]: scale or repair the mask")
    if weights.max() < 1e-3:  # less than the first step of an 8-bit mask
        raise InputError(f"the {name} weights are all nearly zero: mark at least one pixel in the mask")
    return weights.clip(0, 1)


def _output(image: np.ndarray) -> np.ndarray:
    return image.clip(0, 1).astype(np.float32)[None]


def luminance(image: Images) -> np.ndarray:
    """The Y of YIQ, three times over: a grey image that a network for colours takes.

    Args:
        image: ``(1, h, w, 3)``.

    Returns:
        ``(1, h, w, 3)`` float32, its channels equal; not clipped.
    """
    from skimage.color import rgb2yiq

    y = rgb2yiq(_image("given", image))[None, :, :, :1]
    return y.astype(np.float32).repeat(3, axis=3)


def combine(luminance: Images, color: Images) -> np.ndarray:
    """The Y of one image with the I and Q of another (Gatys et al. 2016, arXiv 1606.05897).

    Args:
        luminance: ``(1, h, w, 3)``; grey or not, only its Y counts.
        color: the same shape; its Y is dropped.

    Returns:
        ``(1, h, w, 3)`` float32, clipped to [0, 1]: where a colour does not exist at its new luminance,
        both change.

    Raises:
        InputError: the sizes differ.
    """
    from skimage.color import rgb2yiq, yiq2rgb

    light, chroma = _image("luminance", luminance), _image("color", color)
    if light.shape != chroma.shape:
        raise InputError(
            f"the luminance image is {light.shape[1]}×{light.shape[0]} and the color image "
            f"{chroma.shape[1]}×{chroma.shape[0]}: resize one to the other"
        )
    return _output(yiq2rgb(np.concatenate([rgb2yiq(light)[..., :1], rgb2yiq(chroma)[..., 1:]], axis=-1)))


def match_luminance(
    style: Images,
    content: Images,
    style_weights: np.ndarray | None = None,
    content_weights: np.ndarray | None = None,
) -> np.ndarray:
    """The style's luminance at the content's mean and standard deviation: ``σ_C/σ_S (L_S − μ_S) + μ_C``.

    Gatys et al. 2017, arXiv 1611.07865, section on colour control. A style without contrast has none to
    scale: it becomes the content's mean.

    Args:
        style: by :func:`luminance`, ``(1, h, w, 3)``.
        content: likewise, of any size.
        style_weights: ``(h, w)`` in [0, 1], how much each pixel counts; all are mapped.
        content_weights: likewise for the content.

    Returns:
        The style's shape, float32, clipped to [0, 1]: where that changes a value, mean and deviation are
        not quite the content's.

    Raises:
        InputError: shapes that do not fit; weights that are not in [0, 1], or all nearly zero.
    """
    moments = []
    for name, image, weights in (("style", style, style_weights), ("content", content, content_weights)):
        light = _image(name, image)[..., 0]
        mask = _weights(name, weights, light)
        mean = np.average(light, weights=mask)
        moments.append((light, mean, np.sqrt(np.average((light - mean) ** 2, weights=mask))))
    (light, style_mean, style_deviation), (_, mean, deviation) = moments
    scale = deviation / style_deviation if style_deviation > FLAT else 0.0
    return _output((scale * (light - style_mean) + mean)[..., None].repeat(3, axis=-1))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values)) @ vectors.T


def linear_map(source: np.ndarray, reference: np.ndarray, method: str) -> np.ndarray:
    """A matrix A with ``A Σ_S A' = Σ_C``, by a linear method of :func:`transfer_color`.

    Args:
        source: Σ_S, ``(3, 3)``, positive definite.
        reference: Σ_C, likewise.
        method: the name; A is lower triangular for ``cholesky``, symmetric positive definite for ``symmetric``.
    """
    one_of("method", method, COLOR_TRANSFERS[1:])
    if method == "cholesky":
        return np.linalg.cholesky(reference) @ np.linalg.inv(np.linalg.cholesky(source))
    root = _root(source)
    inverse = np.linalg.inv(root)
    if method == "pca":
        return _root(reference) @ inverse
    return inverse @ _root(root @ reference @ root) @ inverse


def _moments(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour and covariance, the latter with :data:`RIDGE`."""
    pixels, share = image.reshape(-1, 3), weights.reshape(-1, 1) / weights.sum()
    mean = (share * pixels).sum(axis=0)
    centered = pixels - mean
    return mean, (share * centered).T @ centered + RIDGE * np.eye(3)


def _samples(name: str, image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    inside = weights > 0.5
    if not inside.any():
        raise InputError(
            f"the {name} weights are nowhere over 0.5, and the histogram counts only such pixels: mark more "
            f"of the mask, or choose another colour transfer"
        )
    return image[inside]


def _match_histograms(source: np.ndarray, samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The source under the map that takes its samples' histogram to the reference's, a channel at a time."""
    from skimage.exposure import match_histograms

    matched = match_histograms(samples, reference, channel_axis=-1)
    result = np.empty_like(source)
    for channel in range(3):
        # match_histograms maps samples only; the other pixels interpolate between them, exactly at a
        # sample's own value, and beyond the lowest and the highest keep to those.
        values, first = np.unique(samples[:, channel], return_index=True)
        result[..., channel] = np.interp(source[..., channel], values, matched[first, channel])
    return result


def transfer_color(
    source: Images,
    reference: Images,
    method: str,
    source_weights: np.ndarray | None = None,
    reference_weights: np.ndarray | None = None,
) -> np.ndarray:
    """The source with the colours of the reference.

    With mean colours μ and covariances Σ of source S and reference C:

    ============= ==========================================================================
    ``histogram`` each channel's histogram by a monotone map (``skimage.exposure.match_histograms``)
    ``cholesky``  ``A(x − μ_S) + μ_C`` with ``A = L_C L_S⁻¹``, ``Σ = L L'``
    ``pca``       the same with ``A = Σ_C^½ Σ_S^−½``, symmetric roots by eigenvalues
    ``symmetric`` the same with ``A = Σ_S^−½ (Σ_S^½ Σ_C Σ_S^½)^½ Σ_S^−½``, optimal transport of Gaussians
    ============= ==========================================================================

    The first two linear maps are those of Gatys et al. 2016, arXiv 1606.05897, where ``pca`` is named
    after Image Analogies; the third is in Gatys's code ("sym") and in Pitié and Kokaram 2007. As in that
    code 1e-5 is added to the diagonals of both covariances, so that flat images have an inverse: the
    result's covariance is ``Σ_C + 1e-5 (I − A A')``, not quite Σ_C.

    Args:
        source: ``(1, h, w, 3)``, finite.
        reference: ``(1, H, W, 3)``, of any size.
        method: a name of the table.
        source_weights: ``(h, w)`` in [0, 1], how much each pixel counts (for the histogram: those over
            0.5, equally); all are mapped.
        reference_weights: ``(H, W)``, likewise.

    Returns:
        The source's shape, float32, clipped to [0, 1]: where a linear map goes beyond, that bends the
        statistics.

    Raises:
        InputError: an unknown method; shapes that do not fit; weights that are not in [0, 1], or all nearly
            zero, or for the histogram nowhere over 0.5.
    """
    one_of("method", method, COLOR_TRANSFERS)
    image, colors = _image("source", source), _image("reference", reference)
    mask = _weights("source", source_weights, image)
    colors_mask = _weights("reference", reference_weights, colors)
    if method == "histogram":
        samples = _samples("source", image, mask)
        return _output(_match_histograms(image, samples, _samples("reference", colors, colors_mask)))
    mean, covariance = _moments(image, mask)
    colors_mean, colors_covariance = _moments(colors, colors_mask)
    return _output((image - mean) @ linear_map(covariance, colors_covariance, method).T + colors_mean)
