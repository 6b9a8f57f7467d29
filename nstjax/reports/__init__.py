"""Run records, loss plots and contact sheets."""

from nstjax.reports.record import (
    FileFacts,
    NetworkFacts,
    environment,
    file_facts,
    read_record,
    write_record,
)
from nstjax.reports.sheets import Cell, contact_sheet, loss_plot

__all__ = [
    "Cell",
    "FileFacts",
    "NetworkFacts",
    "contact_sheet",
    "environment",
    "file_facts",
    "loss_plot",
    "read_record",
    "write_record",
]
