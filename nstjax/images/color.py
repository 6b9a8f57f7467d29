"""Color transfer: luminance transfer, histogram matching, and linear maps of colors."""

import numpy as np

from nstjax.errors import InputError, one_of
from nstjax.pixels import check_floating
from nstjax.typing import Images

COLOR_TRANSFERS = ("histogram", "cholesky", "pca", "symmetric")
RIDGE = 1e-5  # added to the diagonal of both covariances, as in Gatys's code
FLAT = 1e-6  # a smaller standard deviation is float32 rounding error, not contrast


def _image(name: str, image: Images) -> np.ndarray:
    """Check the dtype and shape of an image ``(1, h, w, 3)``, and return it as ``(h, w, 3)`` float64."""
    check_floating(f"{name} image", image)
    array = np.asarray(image, np.float64)
    if array.ndim != 4 or array.shape[::3] != (1, 3) or array.size == 0:
        raise InputError(f"the {name} image has shape {array.shape}: it must be (1, height, width, 3)")
    return array[0]


def _weights(name: str, weights: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    """Check the weights of an image's pixels and return them as ``(h, w)`` float64; ones if they are None."""
    if weights is None:
        return np.ones(image.shape[:2])
    weights = np.asarray(weights, np.float64)
    if weights.shape != image.shape[:2]:
        raise InputError(
            f"the {name} weights have shape {weights.shape} where the image has {image.shape[:2]}: "
            f"resize the mask to the image"
        )
    # Resampling may leave rounding errors outside [0, 1]. NaN fails both comparisons.
    if not (weights.min() >= -1e-6 and weights.max() <= 1 + 1e-6):
        raise InputError(f"the {name} weights must be finite and within [0, 1]: scale or repair the mask")
    if weights.max() < 1e-3:  # less than the first step of an 8-bit mask
        raise InputError(f"the {name} weights are all nearly zero: mark at least one pixel in the mask")
    return weights.clip(0, 1)


def _output(image: np.ndarray) -> np.ndarray:
    """Clip an image ``(h, w, 3)`` to [0, 1] and return it as ``(1, h, w, 3)`` float32."""
    return image.clip(0, 1).astype(np.float32)[None]


def luminance(image: Images) -> np.ndarray:
    """Compute the luminance Y of YIQ, repeated in three channels so that a network for color images can use it.

    Args:
        image: ``(1, h, w, 3)``, floating point.

    Returns:
        ``(1, h, w, 3)`` float32 with equal channels; not clipped.

    Raises:
        InputError: If the image has another shape or is not floating point.
    """
    from skimage.color import rgb2yiq

    y = rgb2yiq(_image("given", image))[None, :, :, :1]
    return y.astype(np.float32).repeat(3, axis=3)


def combine(luminance: Images, color: Images) -> np.ndarray:
    """Combine the Y channel of one image with the I and Q channels of another (Gatys et al. 2016, arXiv 1606.05897).

    Args:
        luminance: ``(1, h, w, 3)``, floating point; only its Y is used.
        color: an image of the same shape; its Y is ignored.

    Returns:
        ``(1, h, w, 3)`` float32, clipped to [0, 1]. If a color is outside sRGB at its new luminance, clipping changes
        both the luminance and the color.

    Raises:
        InputError: If the shapes differ, or an image has another shape or is not floating point.
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
    """Match the mean and standard deviation of the style's luminance to those of the content.

    The map is ``σ_C/σ_S (L_S − μ_S) + μ_C``, from Gatys et al. 2017, arXiv 1611.07865, section on color control.
    If the style has no contrast, the result is the content's mean everywhere.

    Args:
        style: luminance of the style from :func:`luminance`, ``(1, h, w, 3)``.
        content: luminance of the content, of any size.
        style_weights: ``(h, w)`` in [0, 1], the weight of each pixel in the statistics; all pixels are mapped.
        content_weights: the same for the content.

    Returns:
        An image of the style's shape, float32, clipped to [0, 1]. Where clipping changes values, the mean and the
        standard deviation differ from the content's.

    Raises:
        InputError: If an image is not floating point, shapes do not match, or weights are outside [0, 1] or all
            nearly zero.
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
    """Compute the symmetric square root of a positive definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values)) @ vectors.T


def linear_map(source: np.ndarray, reference: np.ndarray, method: str) -> np.ndarray:
    """Compute a matrix A with ``A Σ_S A' = Σ_C``, by a linear method of :func:`transfer_color`.

    Args:
        source: Σ_S, ``(3, 3)``, positive definite.
        reference: Σ_C, ``(3, 3)``, positive definite.
        method: ``"cholesky"``, ``"pca"`` or ``"symmetric"``. A is lower triangular for ``cholesky`` and symmetric
            positive definite for ``symmetric``.

    Returns:
        A, ``(3, 3)``.

    Raises:
        InputError: If the method is unknown.
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
    """Return the weighted mean color ``(3,)`` and the covariance ``(3, 3)``, with :data:`RIDGE` on its diagonal."""
    pixels, share = image.reshape(-1, 3), weights.reshape(-1, 1) / weights.sum()
    mean = (share * pixels).sum(axis=0)
    centered = pixels - mean
    return mean, (share * centered).T @ centered + RIDGE * np.eye(3)


def _samples(name: str, image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the pixels whose weight is over 0.5, ``(count, 3)``."""
    inside = weights > 0.5
    if not inside.any():
        raise InputError(
            f"the {name} weights are nowhere over 0.5, and the histogram counts only such pixels: mark more "
            f"of the mask, or choose another color transfer"
        )
    return image[inside]


def _match_histograms(source: np.ndarray, samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Map the source so that its samples get the histogram of the reference, one channel at a time."""
    from skimage.exposure import match_histograms

    matched = match_histograms(samples, reference, channel_axis=-1)
    result = np.empty_like(source)
    for channel in range(3):
        # match_histograms maps only the samples. The other pixels are interpolated between them, exactly at the
        # samples' values; pixels beyond the lowest or highest sample are mapped like that sample.
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
    """Give the source the colors of the reference.

    With the mean colors μ and covariances Σ of the source S and the reference C:

    ============= ==========================================================================
    ``histogram`` a monotone map of each channel's histogram (``skimage.exposure.match_histograms``)
    ``cholesky``  ``A(x − μ_S) + μ_C`` with ``A = L_C L_S⁻¹``, ``Σ = L L'``
    ``pca``       the same with ``A = Σ_C^½ Σ_S^−½``, symmetric roots by eigenvalues
    ``symmetric`` the same with ``A = Σ_S^−½ (Σ_S^½ Σ_C Σ_S^½)^½ Σ_S^−½``, optimal transport of Gaussians
    ============= ==========================================================================

    The first two linear maps are from Gatys et al. 2016, arXiv 1606.05897, where ``pca`` is named after Image
    Analogies; the third is in Gatys's code ("sym") and in Pitié and Kokaram 2007. As in that code, 1e-5 is added
    to the diagonals of both covariances, so that the covariance of a flat image has an inverse. The result's
    covariance is therefore ``Σ_C + 1e-5 (I − A A')``, not exactly Σ_C.

    Args:
        source: ``(1, h, w, 3)``, floating point, finite.
        reference: ``(1, H, W, 3)``, floating point, of any size.
        method: a name from the table.
        source_weights: ``(h, w)`` in [0, 1], the weight of each pixel in the statistics (the histogram counts
            all pixels with a weight over 0.5 equally, and no others); all pixels are mapped.
        reference_weights: ``(H, W)``, the same for the reference.

    Returns:
        An image of the source's shape, float32, clipped to [0, 1]. Where clipping changes the result of a linear
        map, its statistics differ from the reference's.

    Raises:
        InputError: If the method is unknown, an image is not floating point, shapes do not match, or weights are
            outside [0, 1], are all nearly zero, or, for the histogram, are nowhere over 0.5.
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
