"""What processes on one data folder share while they run, and find again when they are started anew.

`Store` is what can be asked, `Sqlite` the store of one machine, `State` the way to it that never holds up the event loop. The
record of calls is another file (`tokenman_core.ledger`): a record may fail, a count may not.
"""

from tokenman_core.state.counts import Booking, Count, Counts, Hold, Reserved
from tokenman_core.state.rates import Ask, Left, Rates
from tokenman_core.state.sqlite import Sqlite
from tokenman_core.state.state import AskStore, State, Unavailable, open_state, path_of
from tokenman_core.state.store import Entry, Leased, Store

__all__ = [
    "Ask",
    "AskStore",
    "Booking",
    "Count",
    "Counts",
    "Entry",
    "Hold",
    "Leased",
    "Left",
    "Rates",
    "Reserved",
    "Sqlite",
    "State",
    "Store",
    "Unavailable",
    "open_state",
    "path_of",
]
