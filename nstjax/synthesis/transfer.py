"""Neural style transfer by optimization of an image (Gatys et al. 2016, arXiv 1508.06576), coarse to fine."""

from nstjax.pixels import check_image
from nstjax.synthesis.colors import restore_colors
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.problem import ExtraTerms, Problem, check_draft, make_problem, stages_of
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
    draft_backbone: Backbone | None = None,
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
        draft_backbone: network for ``config.draft`` iterations at each scale, before the iterations at the last scale
            with ``backbone``; usually the embedded network, whose pictures are close to those of VGG-19.

    Returns:
        The image and the history of the run.

    Raises:
        InputError: If settings contradict each other, the network lacks a layer, an image has a wrong shape or
            wrong values or is too small for a layer, a mask is empty, an extra term has the name of a
            built-in one, or ``resume`` does not fit the scales, the optimizer or the image size.
        TransferFailed: If the loss became non-finite. The exception holds the last image with a finite loss.
    """
    given = config or TransferConfig()
    check_draft(given, draft_backbone)
    content = check_image("content image", content)

    def problem_for(network: Backbone) -> Problem:
        shape = (content.shape[1], content.shape[2])
        own = given.for_backbone(network)
        return make_problem(own, network, style, shape, content, init_image, extra_terms)

    problem = problem_for(backbone)
    draft = None if draft_backbone is None else problem_for(draft_backbone)
    config = problem.network.config
    return solve(
        config,
        stages_of(problem, draft),
        callback,
        resume,
        lambda image: restore_colors(config, content, image),
    )
