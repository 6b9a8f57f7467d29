"""Neural style transfer by optimization of an image (Gatys et al. 2016, arXiv 1508.06576), coarse to fine."""

from nstjax.pixels import check_image
from nstjax.synthesis.colors import restore_colors
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.problem import ExtraTerms, make_problem
from nstjax.synthesis.solve import ProgressCallback, TransferResult, TransferState, solve
from nstjax.synthesis.styles import Styles
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
        content: the content image, ``(1, h, w, 3)`` in [0, 1], of any size.
        style: the style image, likewise; or a :class:`Style`, a list of styles to blend, or a list of
            :class:`StyleRegion`, each with a mask over the content image and its own styles.
        backbone: feature network from :func:`nstjax.load_backbone`.
        config: settings; the default is that of the preset ``default``.
        callback: called after every iteration; returning true stops the run, and the image so far is
            returned.
        init_image: initial image, for ``config.init == "image"``; of any size.
        resume: state from which to continue. The images, the network and the config must be those of the run
            that made it.
        extra_terms: your own loss terms by name: differentiable functions of the image ``(1, h, w, 3)`` in
            [0, 1] that return a weighted scalar. They are added to the loss at every scale and appear in the
            history.

    Returns:
        The image and the history of the run.

    Raises:
        InputError: If settings contradict each other, the network lacks a layer, an image has a wrong shape or
            wrong values or is too small for a layer, a mask is empty, an extra term has the name of a
            built-in one, or ``resume`` does not fit the scales, the optimizer or the image size.
        TransferFailed: If the loss became non-finite. The exception holds the last image with a finite loss.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    content = check_image("content image", content)
    problem = make_problem(
        config, backbone, style, (content.shape[1], content.shape[2]), content, init_image, extra_terms
    )
    return solve(
        config, problem.stage, callback, resume, lambda image: restore_colors(config, content, image)
    )
