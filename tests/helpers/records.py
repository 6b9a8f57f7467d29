"""Checkpoints whose record is changed on purpose."""

import json
from pathlib import Path
from typing import Any

from nstjax.digests import RECORD, record_digest


def replace_record(store: Path, record: dict[str, Any]) -> None:
    """Write another record into a store, with its hash: not damage, but other content."""
    rest = {key: value for key, value in record.items() if key != RECORD}
    (store / "record" / "metadata").write_text(json.dumps({**rest, RECORD: record_digest(rest)}))


def change_record(store: Path, **changes: object) -> None:
    """Change fields of a store's record."""
    replace_record(store, {**json.loads((store / "record" / "metadata").read_text()), **changes})
