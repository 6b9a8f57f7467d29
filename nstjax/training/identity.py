"""The identity of a training run: the settings and inputs that must be equal for one run to resume another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.digests import tree_digest
from nstjax.errors import InputError
from nstjax.training.config import TrainConfig
from nstjax.typing import Backbone, Images

# Data settings that may differ. The training compares the photographs by a hash (of their names and sizes, for a folder),
# so their folder may move.
_FREE = ("source", "workers", "prefetch", "cache", "download", "data_dir")


def settings_identity(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that must be equal for one run to resume another.

    Args:
        config: from :meth:`nstjax.training.TrainConfig.to_json`.

    Returns:
        Values by the names of the fields, such as ``"learning_rate"`` or ``"objective.tv_weight"``, as JSON has them.
    """
    config = _plain(config)
    flat = {
        f"{group}.{name}": value
        for group in ("generator", "objective", "data")
        for name, value in config[group].items()
    }
    flat |= {name: value for name, value in config.items() if not isinstance(value, dict)}
    free = {f"data.{name}" for name in _FREE}
    if config["schedule"] != "cosine":
        free.add("steps")  # with the other schedules, a run may be extended
    return {name: value for name, value in flat.items() if name not in free}


def changed_setting(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the name, the earlier value and the present value of the first setting that differs, or None.

    The kind of the generator comes first, because generators of different kinds have different settings.

    Args:
        before: from :func:`settings_identity`, of the run to resume.
        now: the same, of the run that would resume it.
    """
    names = sorted(before, key=lambda name: (name != "generator.kind", name))
    return next(
        ((name, before[name], now.get(name)) for name in names if before[name] != now.get(name)), None
    )


def run_identity(config: TrainConfig, styles: Sequence[Images], backbone: Backbone) -> dict[str, Any]:
    """Return the identity of a run, as JSON.

    Args:
        config: the config, with all layers named.
        styles: the style images, ``(1, h, w, 3)`` in [0, 1]. They are compared with 8 bits per value.
        backbone: the feature network.
    """
    described = backbone.describe()
    pictures = [np.rint(np.asarray(image) * 255).astype(np.uint8) for image in styles]
    return {
        "settings": settings_identity(config.to_json()),
        "styles": tree_digest(pictures),
        "network": _plain({name: described[name] for name in ("arch", "sha256", "preprocessing")}),
    }


def check_identity(before: dict[str, Any], now: dict[str, Any], where: Path) -> None:
    """Raise :class:`InputError` if two identities differ.

    Args:
        before: the identity in a checkpoint.
        now: the identity of the run that would resume from it.
        where: the folder of the checkpoint, for the message.
    """
    hint = f"cannot resume from {where}: choose another folder"
    if before["styles"] != now["styles"]:
        raise InputError(f"the style images are not those that the run was started with, so it {hint}")
    if before["network"] != now["network"]:
        raise InputError(f"the feature network is not the one that the run was started with, so it {hint}")
    changed = changed_setting(before["settings"], now["settings"])
    if changed is not None:
        name, was, value = changed
        raise InputError(f"`{name}` was {was} in the run and is {value} now, so it {hint}")


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as it is after JSON is written and read: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain
