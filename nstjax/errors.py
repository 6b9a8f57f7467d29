"""The exceptions that become one sentence on the command line."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or option, and what to do.

    The command line prints it after ``nstjax: error:`` and exits with code 2. It is a ``ValueError``.
    """


class OutputError(InputError):
    """A file cannot be written, for example because the disk is full or a folder is gone.

    The command line prints it as it does an :class:`InputError`, and exits with code 1.
    """


def one_of(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of the names in ``allowed``."""
    if value not in allowed:
        raise InputError(f"{option} is {value!r}: it must be one of {', '.join(allowed)}")


class InputWarning(UserWarning):
    """Something in the input was mended, and the result may differ from what was meant."""
