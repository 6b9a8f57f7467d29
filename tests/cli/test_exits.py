"""Exit codes of several pictures made by one command."""

from pathlib import Path

import pytest

from nstjax.cli.exits import make_all
from nstjax.errors import InputError, OutputError

BAD, FULL, DEFECT = InputError("a bad file"), OutputError("a full disk"), ValueError("a defect")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([0, 0], 0),
        ([0, BAD], 2),
        ([BAD, 1], 1),  # a run that failed counts more than bad input, in any order
        ([1, BAD], 1),
        ([BAD, FULL], 1),
        ([DEFECT, BAD], 1),
        ([BAD, 130], 130),  # a signal ends the command
    ],
)
def test_exit_code_of_several_pictures(outcomes: list, code: int) -> None:
    def make(job: int) -> int:
        if isinstance(outcomes[job], Exception):
            raise outcomes[job]
        return outcomes[job]

    made, found = make_all(range(len(outcomes)), make, lambda job: Path(f"{job}.png"))
    assert found == code
    assert made == [job for job, outcome in enumerate(outcomes) if outcome == 0]
