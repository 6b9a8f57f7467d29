"""``python -m tests.fuzz --count 5000``: a campaign over all targets; exit code 1 where an input failed."""

import argparse
import sys
import time

from tests.fuzz import campaign
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run a campaign and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="inputs in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each target")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="targets whose name has this text")
    parser.add_argument("--list", action="store_true", help="print the targets")
    options = parser.parse_args()
    chosen = {name: target for name, target in TARGETS.items() if options.only in name}
    if options.list or not chosen:
        print("\n".join(TARGETS))
        return 0
    share = options.count / sum(target.weight for target in chosen.values())
    inputs = [
        (name, options.first + k)
        for name, target in chosen.items()
        for k in range(max(1, round(share * target.weight)))
    ]
    began = time.monotonic()
    ends, failures = campaign.run(inputs, options.workers)
    for name in chosen:
        print(
            f"{name:24s} {', '.join(f'{end} {count}' for end, count in sorted(ends.get(name, {}).items()))}"
        )
    for failure in failures:
        print(f"\n== {failure.target} {failure.number}: {failure.why}\n{failure.details}")
    print(f"\n{len(inputs)} inputs, {len(failures)} failed, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
