"""Neural style transfer by optimization of an image (Gatys et al. 2016, arXiv 1508.06576), coarse to fine."""

from nstjax.synthesis.colors import restore_colors
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.problem import ExtraTerms, make_problem
from nstjax.synthesis.solve import ProgressCallback, TransferResult, TransferState, solve
from nstjax.synthesis.styles import Styles, check_image
from nstjax.typing import Backbone, Images


def transfer(
    content: Images,
    style: Styles,
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: ProgressCallback | None = None,
    *,
    init_image: Images | None = None,
    resume: TransferState | None = None,
    extra_terms: ExtraTerms | None = None,
) -> TransferResult:
    """Stylize a content image with one or more style images.

    Args:
        content: the content image, ``(1, h, w, 3)`` in [0, 1], of any size; it is resized.
        style: the style image, ``(1, h, w, 3)`` in [0, 1]; or a :class:`Style`, a list of them to blend, or a list of
            :class:`StyleRegion`, each a mask of the content image with style images of its own.
        backbone: from :func:`nstjax.load_backbone`.
        config: the settings; by default those of the preset ``default``.
        callback: called with a :class:`Progress` after every iteration; if it returns true, the run stops with the image as
            it is.
        init_image: the image to start from if ``config.init`` is ``"image"``; of any size.
        resume: a state to resume from; content, style, weights and config must be those of its run.
        extra_terms: terms of your own by name, each a differentiable function of the image ``(1, h, w, 3)`` in [0, 1]
            that returns a weighted scalar; they are added to the loss at every scale and appear in the history.

    Returns:
        A :class:`TransferResult` with the picture and the history of the losses.

    Raises:
        InputError: a setting is invalid, a layer is missing, an image is too small for a layer, or a mask is empty.
        TransferFailed: the loss is not finite; the exception has the last good image.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    content = check_image("content", content)
    problem = make_problem(
        config, backbone, style, (content.shape[1], content.shape[2]), content, init_image, extra_terms
    )
    return solve(
        config, problem.stage, callback, resume, lambda image: restore_colors(config, content, image)
    )
