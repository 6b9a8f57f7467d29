"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or option, and the mend.

    The command line prints it after ``nstjax: error:`` and exits with code 2; importers may catch
    it as a ``ValueError``.
    """


def one_of(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of the names in ``allowed``."""
    if value not in allowed:
        raise InputError(f"{option} is {value!r}: it must be one of {', '.join(allowed)}")


class InputWarning(UserWarning):
    """Something in the input was mended, and the result may differ from what was meant."""
