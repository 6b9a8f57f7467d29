"""The styles of ``nstjax train``: their names, and the start of a run from a trained generator."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from nstjax.cli.options_train import GeneratorOptions
from nstjax.errors import InputError
from nstjax.generators import GeneratorConfig, Variables
from nstjax.generators.plan import MOST_STYLES
from nstjax.generators.store import Generator, load_generator
from nstjax.generators.styles import distinct_names, join_styles, with_styles


@dataclasses.dataclass(frozen=True)
class Start:
    """The start of a run from a trained generator.

    Attributes:
        earlier: the trained generator.
        config: config of the generator to train.
        variables: its initial weights: those of ``earlier``, with the mean of its styles for each style of the run.
        adds: True if the run adds its styles to ``earlier``.
    """

    earlier: Generator
    config: GeneratorConfig
    variables: Variables
    adds: bool

    def finish(self, trained: Generator) -> Generator:
        """Return the generator to store: the trained one, or ``earlier`` with the trained styles added."""
        return join_styles(self.earlier, trained) if self.adds else trained


def generator_options(given: Mapping[str, str | None]) -> list[str]:
    """Return the options among ``given`` that change the generator's network."""
    own = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(GeneratorOptions)}
    return sorted(own & set(given))


def start_of(
    add_to: str | None, init_from: str | None, styles: int, given: Mapping[str, str | None]
) -> Start | None:
    """Return the start of a run with ``--add-to`` or ``--init-from``; None for a run without them.

    Args:
        add_to: name or folder of the generator that gets the styles, or None.
        init_from: name or folder of the generator whose weights are the initial ones, or None.
        styles: number of styles of the run.
        given: the options on the command line.

    Raises:
        InputError: If both are given, the generator cannot be loaded or has batch normalization, an option changes the
            generator, or it would have more than :data:`~nstjax.generators.plan.MOST_STYLES` styles.
    """
    if add_to is not None and init_from is not None:
        raise InputError("--init-from does not go with --add-to: leave one of them out")
    model = add_to if add_to is not None else init_from
    if model is None:
        return None
    option = "--add-to" if add_to is not None else "--init-from"
    for flag in generator_options(given):
        raise InputError(
            f"{flag} does not go with {option}, which keeps the network of its model: leave it out"
        )
    earlier = load_generator(model)
    if earlier.config.norm != "instance":
        raise InputError(f"{option} {model} has batch normalization: styles need instance normalization")
    own = earlier.config.styles
    if add_to is not None and own + styles > MOST_STYLES:  # otherwise the first checkpoint would fail
        raise InputError(
            f"--add-to {model} has {own} styles and would have {own + styles}, but a generator has at most "
            f"{MOST_STYLES}: leave out some of --style"
        )
    start = with_styles(earlier, max(styles, 1))
    return Start(earlier, start.config, start.variables, adds=add_to is not None)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for each style image: the stem of its file, with a number where several have the same."""
    return distinct_names([path.stem for path in paths])
