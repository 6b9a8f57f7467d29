"""The one exception that stands for a user's mistake, and checks that raise it."""

MOST = 10**9
"""Largest count of anything: steps, iterations, pixels of a side. Beyond it int32 ends."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or option, and the mend.

    The command line prints it after ``nstjax: error:`` and exits with code 2; importers may catch
    it as a ``ValueError``.
    """


def one_of(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of the names in ``allowed``."""
    if value not in allowed:
        raise InputError(f"{option} is {value!r}: it must be one of {', '.join(allowed)}")


def within(option: str, value: float, least: float, most: float, instead: str = "") -> None:
    """Raise :class:`InputError` unless ``least <= value <= most``; NaN is in no range.

    Args:
        option: what the message calls the value, such as ``--size``.
        value: to check.
        least: smallest value allowed.
        most: largest value allowed.
        instead: what else is allowed, such as ``", or 0 for none"``; the caller has let it pass.
    """
    if not least <= value <= most:
        raise InputError(f"{option} is {value}: it must be between {least} and {most}{instead}")


class InputWarning(UserWarning):
    """Something in the input was mended, and the result may differ from what was meant."""
