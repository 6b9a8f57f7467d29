"""A short campaign, and what the fuzzer itself must find."""

import pytest

from tests.fuzz import campaign
from tests.fuzz.targets import TARGETS

CHEAP = [
    name for name in TARGETS if name.split()[0] in ("image", "mask", "video", "folder", "metrics", "record")
]
DEAR = [name for name in TARGETS if name not in CHEAP]


@pytest.mark.slow
def test_valid_inputs_are_accepted() -> None:
    names = [name for name in TARGETS if not name.startswith(("options", "train"))]
    ends, failures = campaign.run([(name, -1) for name in names])
    assert not failures
    assert {name: dict(counter) for name, counter in ends.items()} == {
        name: {"accepted": 1} for name in names
    }


def test_damaged_inputs_end_in_a_result_or_one_sentence() -> None:
    ends, failures = campaign.run([(name, k) for name in CHEAP for k in range(8)])
    assert not failures, "\n".join(f"{f.target} {f.number}: {f.why}\n{f.details}" for f in failures)
    assert sum(ends["image jpeg"].values()) == 8
    assert sum(counter["refused"] for counter in ends.values()) > len(CHEAP)


@pytest.mark.slow
def test_damaged_weights_models_states_and_options() -> None:
    _, failures = campaign.run([(name, k) for name in DEAR for k in range(4)])
    assert not failures, "\n".join(f"{f.target} {f.number}: {f.why}\n{f.details}" for f in failures)


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ({"end": "traceback", "message": "KeyError"}, "a traceback"),
        ({"end": "refused", "message": "something is wrong"}, "names neither"),
        ({"end": "refused", "message": "a.png is damaged\nindeed"}, "more than one line"),
        ({"end": "refused", "stderr": "nstjax: error: a.png\nlibtiff: warning\n"}, "not one sentence"),
        ({"end": "accepted", "stderr": "libtiff: warning\n"}, "unexpected lines"),
        ({"end": "accepted", "seconds": 30.0}, "took 30"),
        ({"end": "accepted", "gib": 5.0}, "taken 5.0 GiB"),
    ],
)
def test_failures_are_recognised(outcome: dict, why: str) -> None:
    quiet = {
        "target": "a",
        "number": 0,
        "message": "",
        "stderr": "",
        "seconds": 0.1,
        "gib": 1.0,
        "first": False,
        "given": ["a.png"],
    }
    found = campaign.judged({**quiet, **outcome})
    assert found is not None
    assert why in found.why
    for fine in (
        {"end": "accepted"},
        {"end": "refused", "message": "a.png is damaged: name another"},
        {"end": "refused", "stderr": "nstjax: error: --size is 0: it must be 1 or more\n"},
    ):
        assert campaign.judged({**quiet, **fine}) is None
