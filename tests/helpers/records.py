"""Checkpoints with a changed record."""

import json
from pathlib import Path
from typing import Any

from nstjax.digests import RECORD, record_digest


def replace_record(store: Path, record: dict[str, Any]) -> None:
    """Replace the record of a store, with a valid hash, so that the content differs but is not damaged."""
    rest = {key: value for key, value in record.items() if key != RECORD}
    (store / "record" / "metadata").write_text(json.dumps({**rest, RECORD: record_digest(rest)}))


def change_record(store: Path, **changes: object) -> None:
    """Change fields of a store's record."""
    replace_record(store, {**json.loads((store / "record" / "metadata").read_text()), **changes})
