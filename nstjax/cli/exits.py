"""Exit codes, and the loop over several pictures, which continues after a bad one."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nstjax.cli.flags import with_flags
from nstjax.cli.interrupt import BY_SIGNAL
from nstjax.cli.many import J, Runner, one_by_one
from nstjax.errors import InputError, OutputError, first_line

FAILED, BAD_INPUT = 1, 2


def about(error: Exception, path: Path) -> InputError:
    """Return the error about one picture, with flags in place of fields.

    The message begins with the picture's file, unless it names an output, a flag, or this file.

    Args:
        error: an exception of any type, because a damaged file can raise nearly any exception.
        path: the file of the picture.
    """
    if not isinstance(error, InputError):
        return InputError(f"{path}: {type(error).__name__}: {first_line(error)}")
    message = with_flags(str(error))
    if isinstance(error, OutputError):  # the message names the output
        return OutputError(message)
    if path.name in message or "--" in message or message.startswith("-o "):
        return InputError(message)
    return InputError(f"{path}: {message}")


def failure_code(error: Exception, before: int) -> int:
    """Return the exit code after a picture could not be made: 1 if the run failed, 2 for bad input.

    Args:
        error: why the picture could not be made.
        before: the exit code so far; 1 is kept.
    """
    bad_input = isinstance(error, InputError) and not isinstance(error, OutputError)
    return (before or BAD_INPUT) if bad_input else FAILED


def make_all(
    jobs: Sequence[J],
    make: Callable[[J], int],
    path_of: Callable[[J], Path],
    runner: Runner[J] = one_by_one,
) -> tuple[list[J], int]:
    """Make several pictures. A failure is reported at once and again at the end, and the other pictures are made.

    Args:
        jobs: the jobs, one per picture.
        make: function that makes one picture and returns the exit code.
        path_of: function that returns the file to name in an error message.
        runner: how they are made, see :mod:`nstjax.cli.many`.

    Returns:
        The jobs that were completed, and the exit code: that of the signal that stopped a run; else 1 or 2
        after failures, see :func:`failure_code`; else 0.
    """
    made: list[J] = []
    bad: list[str] = []
    worst = 0
    stopped = 0
    with contextlib.closing(runner(jobs, make)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Exception):
                reason = str(about(outcome, path_of(job)))
                bad.append(reason)
                worst = failure_code(outcome, worst)
                print(f"nstjax: error: {reason}", file=sys.stderr)
            elif outcome > BY_SIGNAL:
                stopped = outcome  # what other devices have finished still counts
            elif outcome:
                bad.append(f"{path_of(job).name}: the run failed")
                worst = (
                    outcome if worst in (0, BAD_INPUT) else worst
                )  # a failed run counts more than bad input
            else:
                made.append(job)
    if stopped:
        return made, stopped
    if bad:
        print(f"nstjax: {len(made)} of {len(jobs)} made; not made:", file=sys.stderr)
        for reason in bad:
            print(f"  {reason}", file=sys.stderr)
    return made, worst
