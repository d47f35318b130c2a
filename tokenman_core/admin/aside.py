"""Threads of the admin server's own, so that whoever reads long sums takes none from the calls that are being judged."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_threads = ThreadPoolExecutor(2, thread_name_prefix="admin")


async def aside[*Given, Result](work: Callable[[*Given], Result], *given: *Given) -> Result:
    """What `work` returns or raises, while the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *given)
