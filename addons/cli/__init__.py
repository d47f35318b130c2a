"""The command line."""

import time

STARTED = time.monotonic()
"""When this process began, as nearly as its own code can tell: for commands that are bounded as a whole."""
