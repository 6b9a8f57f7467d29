"""Loss functions of arrays and dictionaries of activations, independent of networks and optimizers."""

from nstjax.losses.balance import balance
from nstjax.losses.content import content_loss
from nstjax.losses.gram import gram_matrix, style_loss
from nstjax.losses.grid import grid_loss, periodic_energy
from nstjax.losses.mmd import median_bandwidth, mmd2, mmd2_linear_time
from nstjax.losses.objective import make_targets, objective
from nstjax.losses.record import Objective
from nstjax.losses.spatial import carry_down, guided_gram, guided_sum
from nstjax.losses.targets import RegionFeatures, StyleFeatures, Targets
from nstjax.losses.temporal import temporal_loss
from nstjax.losses.tv import total_variation
from nstjax.losses.wasserstein import wasserstein2
from nstjax.losses.windows import window_grams, window_loss

__all__ = [
    "Objective",
    "RegionFeatures",
    "StyleFeatures",
    "Targets",
    "balance",
    "carry_down",
    "content_loss",
    "gram_matrix",
    "grid_loss",
    "guided_gram",
    "guided_sum",
    "make_targets",
    "median_bandwidth",
    "mmd2",
    "mmd2_linear_time",
    "objective",
    "periodic_energy",
    "style_loss",
    "temporal_loss",
    "total_variation",
    "wasserstein2",
    "window_grams",
    "window_loss",
]
