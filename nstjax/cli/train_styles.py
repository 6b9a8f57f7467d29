"""The styles of ``nstjax train``: their names, and ``--add-to``, which adds them to a trained generator."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from nstjax.cli.options_train import GeneratorOptions
from nstjax.errors import InputError
from nstjax.generators import GeneratorConfig, Variables
from nstjax.generators.store import Generator, load_generator
from nstjax.generators.styles import join_styles, with_styles


@dataclasses.dataclass(frozen=True)
class StylesStart:
    """The start of a run that adds styles to a generator.

    Attributes:
        earlier: the generator that gets the styles.
        config: config of the generator to train, with the new styles only.
        variables: its weights: those of ``earlier``, with the mean of its styles for each new one.
    """

    earlier: Generator
    config: GeneratorConfig
    variables: Variables

    def finish(self, trained: Generator) -> Generator:
        """Return the earlier generator with the trained styles added."""
        return join_styles(self.earlier, trained)


def styles_start(model: str, styles: int, given: Mapping[str, str | None]) -> StylesStart:
    """Return the start of a run with ``--add-to``.

    Args:
        model: name or folder of the generator that gets the styles.
        styles: number of new styles.
        given: the options on the command line.

    Raises:
        InputError: If the generator cannot be loaded or has batch normalization, or an option changes the generator.
    """
    own = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(GeneratorOptions)}
    for flag in sorted(own & set(given)):
        raise InputError(
            f"{flag} does not go with --add-to, which keeps the network of its model: leave it out"
        )
    earlier = load_generator(model)
    if earlier.config.norm != "instance":
        raise InputError(f"--add-to {model} has batch normalization: styles need instance normalization")
    start = with_styles(earlier, max(styles, 1))
    return StylesStart(earlier, start.config, start.variables)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for each style image: the stem of its file, with a number where several have the same."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 2
        while name in names:
            name, number = f"{path.stem}-{number}", number + 1
        names.append(name)
    return names
