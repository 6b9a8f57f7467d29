"""Pure losses on arrays and feature dicts; no network and no optimiser is known here."""

from nstjax.losses.content import content_loss
from nstjax.losses.gram import gram_matrix, style_loss
from nstjax.losses.objective import Objective, Targets, make_targets, objective
from nstjax.losses.tv import total_variation

__all__ = [
    "Objective",
    "Targets",
    "content_loss",
    "gram_matrix",
    "make_targets",
    "objective",
    "style_loss",
    "total_variation",
]
