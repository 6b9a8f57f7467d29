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
        content: the photograph, ``(1, h, w, 3)`` in [0, 1], at its own size.
        style: the painting, likewise; or a :class:`Style`, a list of them to blend, or a list of
            :class:`StyleRegion`, each a mask of the photograph with paintings of its own.
        backbone: from :func:`nstjax.load_backbone`.
        config: the default is that of the preset ``default``.
        callback: called after every iteration; a true answer stops, with the image as it is.
        init_image: the start, for ``config.init == "image"``; of any size.
        resume: go on from here; content, style, weights and config must be those of the run it is of.
        extra_terms: terms of your own by name, each a differentiable function of the image ``(1, h, w, 3)`` in [0, 1]
            that returns a weighted scalar; they are added to the loss at every scale and appear in the history.

    Returns:
        A :class:`TransferResult`.

    Raises:
        InputError: a setting makes no sense, a layer is missing, an image is too small for a layer, a
            mask is empty.
        TransferFailed: the loss became non-finite; it carries the last good image.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    content = check_image("content", content)
    problem = make_problem(
        config, backbone, style, (content.shape[1], content.shape[2]), content, init_image, extra_terms
    )
    return solve(
        config, problem.stage, callback, resume, lambda image: restore_colors(config, content, image)
    )
