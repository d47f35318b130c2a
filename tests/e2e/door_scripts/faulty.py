"""A stage of a user's own that fails, or takes its time, where the header `x-fault` says so."""

import asyncio

from tokenman_core.exchange import Exchange

SLOW_S = 0.3


class Faulty:
    async def llm_request(self, exchange: Exchange) -> None:
        match exchange.sent.header(b"x-fault"):
            case b"raise":
                raise RuntimeError("/a/secret/path")
            case b"slow":
                await asyncio.sleep(SLOW_S)

    async def llm_done(self, exchange: Exchange) -> None:
        pass


addons = [Faulty()]
