"""The styles of a generator of several styles: names, selection, and addition of new ones."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError
from nstjax.generators import blend_styles, map_styled
from nstjax.generators.store import Generator

MOST_WEIGHT = 1e6  # of a style


def style_names(generator: Generator) -> tuple[str, ...]:
    """Return the names of a generator's styles, as its record has them.

    Args:
        generator: a generator of one or several styles.

    Returns:
        One name for each style; a style without a name has its number, from 1.
    """
    known, single = generator.record.get("styles"), generator.record.get("style")
    if known is None and isinstance(single, dict) and isinstance(single.get("name"), str):
        known = [{"name": Path(single["name"]).stem}]  # models of earlier versions have the name of the file
    entries: list[Any] = known if isinstance(known, list) else []
    names = []
    for number in range(generator.config.styles):
        entry = entries[number] if number < len(entries) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        names.append(name if isinstance(name, str) and name else str(number + 1))
    return tuple(names)


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names without repetitions: a name that occurred before gets a number, ``"waves-2"``.

    Args:
        names: names of styles.
    """
    found: list[str] = []
    for name in names:
        new, number = name, 2
        while new in found:
            new, number = f"{name}-{number}", number + 1
        found.append(new)
    return found


def weighted_names(spec: str, option: str, known: Callable[[str], bool]) -> list[tuple[str, float | None]]:
    """Split ``"a:0.5,b"`` into names and weights.

    Args:
        spec: names separated by commas, each with an optional weight after a colon.
        option: name of the option, for messages.
        known: returns True for a name that exists; such a part is not divided at its colon.

    Returns:
        The names, without spaces around them, and their weights, None where none is given.

    Raises:
        InputError: If a name is empty, or a weight is not finite or negative, or the weights are all 0.
    """
    found: list[tuple[str, float | None]] = []
    for part in spec.split(","):
        name, weight = part.strip(), None
        before, colon, after = name.rpartition(":")
        if colon and not known(name):
            with contextlib.suppress(ValueError):  # a name with a colon
                name, weight = before, float(after)
        if not name:
            raise InputError(f"`{option}` {spec!r} has a part without a name: write NAME or NAME:WEIGHT")
        if weight is not None and not 0 <= weight <= MOST_WEIGHT:
            raise InputError(
                f"`{option}` {spec}: the weight of {name} is {after}: it must be a number, 0 or more"
            )
        found.append((name, weight))
    if all(weight == 0 for _, weight in found):
        raise InputError(f"`{option}` {spec}: the weights are all 0: give one a weight")
    return found


def style_weights(generator: Generator, spec: str) -> np.ndarray:
    """Return the weights of the styles that a text names.

    Args:
        generator: the generator.
        spec: names or numbers (from 1) of styles, each with an optional weight, separated by commas:
            ``"waves"``, ``"3:0.5,waves:1.5"``. Weights are divided by their sum.

    Returns:
        ``(styles,)`` float32, with a sum of 1.

    Raises:
        InputError: If there is no such style, or the weights are not finite, negative or all 0.
    """
    names = style_names(generator)
    weights = np.zeros(len(names))  # float64: float32 would round small weights to 0 before their division
    chosen = [(spec, None)] if spec in names else weighted_names(spec, "style", names.__contains__)
    for name, weight in chosen:  # a name may contain a comma
        if name in names:
            number = names.index(name)
        elif name.isdecimal() and 1 <= int(name) <= len(names):
            number = int(name) - 1
        else:
            raise InputError(
                f"`style` {spec}: the generator has no style {name!r}: its styles are "
                f"{', '.join(f'{number} {known}' for number, known in enumerate(names, 1))}"
            )
        weights[number] += 1.0 if weight is None else weight
    return (weights / weights.sum()).astype(np.float32)


def select_style(generator: Generator, style: str | Sequence[float] | np.ndarray) -> Generator:
    """Return a generator of one style, or of a blend of styles, from a generator of several.

    Args:
        generator: the generator.
        style: a text as for :func:`style_weights`, or one weight for each style; weights are divided by their sum.

    Returns:
        A generator of one style, whose record has the names and weights as ``"selected"``.

    Raises:
        InputError: If there is no such style, or the number of weights is not that of the styles, or their sum is
            not positive.
    """
    if isinstance(style, str):
        weights = style_weights(generator, style)
    else:
        weights = np.asarray(style, np.float32)
        if not 0 < weights.sum() < float("inf"):
            raise InputError(f"`style` is {list(style)}: the sum of the weights must be positive")
        weights = weights / weights.sum()
    config, variables = blend_styles(generator.config, generator.variables, np.asarray(weights))
    names = style_names(generator)
    chosen = {name: round(float(w), 6) for name, w in zip(names, weights, strict=True) if w}
    record = {name: value for name, value in generator.record.items() if name != "styles"}
    return Generator(config, variables, {**record, "selected": chosen})


def one_style(generator: Generator) -> Generator:
    """Return the generator if it has one style.

    Raises:
        InputError: If it has several.
    """
    if generator.config.styles > 1:
        raise InputError(
            f"`style` is missing: the generator has {generator.config.styles} styles, "
            f"{', '.join(style_names(generator))}"
        )
    return generator


def with_styles(generator: Generator, styles: int) -> Generator:
    """Return a generator of ``styles`` equal styles, each the mean of the styles of a generator.

    It is the start of a training run that adds styles to the generator.

    Args:
        generator: a generator with instance normalization.
        styles: number of styles.
    """
    own = generator.config.styles
    config, variables = blend_styles(generator.config, generator.variables, jnp.full(own, 1 / own))
    if styles > 1:
        params = map_styled(config, variables["params"], lambda leaf: jnp.tile(leaf, (styles, 1)))
        variables = {**variables, "params": params}
    return Generator(dataclasses.replace(config, styles=styles), variables, dict(generator.record))


def join_styles(first: Generator, second: Generator) -> Generator:
    """Return a generator with the styles of two generators that have the same convolutions.

    A style of the second one whose name the first one has gets another name (:func:`distinct_names`).

    Args:
        first: a generator; its record is that of the result, with the styles of both.
        second: a generator that was trained from ``first`` with ``parameters="norms"``.

    Raises:
        InputError: If the generators differ in anything but their styles.
    """
    styles = first.config.styles + second.config.styles
    if dataclasses.replace(first.config, styles=1) != dataclasses.replace(second.config, styles=1):
        raise InputError("the generators are of different networks: styles are joined in equal ones only")
    norms, params = first.config.plan().styled(), {}
    for name, leaves in first.variables["params"].items():
        other = second.variables["params"][name]
        if name in norms:
            params[name] = {
                key: jnp.concatenate([jnp.atleast_2d(leaf), jnp.atleast_2d(other[key])])
                for key, leaf in leaves.items()
            }
            continue
        if any(not np.array_equal(leaf, other[key]) for key, leaf in leaves.items()):
            raise InputError(
                "the generators have different convolutions: styles are joined in equal ones only"
            )
        params[name] = leaves
    entries = [entry for generator in (first, second) for entry in _entries(generator)]
    names = distinct_names([entry["name"] for entry in entries])
    entries = [{**entry, "name": name} for entry, name in zip(entries, names, strict=True)]
    config = dataclasses.replace(first.config, styles=styles)
    return Generator(config, {**first.variables, "params": params}, {**first.record, "styles": entries})


def _entries(generator: Generator) -> list[dict[str, Any]]:
    """Return an entry with a name for each style."""
    known = generator.record.get("styles")
    names = style_names(generator)
    entries = known if isinstance(known, list) and len(known) == len(names) else [{}] * len(names)
    return [{**entry, "name": name} for entry, name in zip(entries, names, strict=True)]
