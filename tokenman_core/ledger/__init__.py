"""The record of every call: written by a thread of its own, read by the admin server and the command."""

from tokenman_core.ledger.ledger import Ledger, open_ledger, path_of
from tokenman_core.ledger.pages import Filter, Page
from tokenman_core.ledger.reader import By, LedgerError, LedgerReader
from tokenman_core.ledger.row import Row, as_json, details, row_of
from tokenman_core.ledger.sums import Break, Redactions, Sums, Totals

__all__ = [
    "Break",
    "By",
    "Filter",
    "Ledger",
    "LedgerError",
    "LedgerReader",
    "Page",
    "Redactions",
    "Row",
    "Sums",
    "Totals",
    "as_json",
    "details",
    "open_ledger",
    "path_of",
    "row_of",
]
