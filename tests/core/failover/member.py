"""One process of several on a state file: does to its breakers what its standard input says, and tells what it sees.

`python -m tests.core.failover.member FILE RESET PROBES`
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenman_core.clock import SystemClock
from tokenman_core.failover.breaker import Rules
from tokenman_core.failover.breakers import Breakers
from tokenman_core.failover.sharing import Sharing
from tokenman_core.state import Sqlite, State


@dataclass(eq=False)
class Try:
    answered: bool = False


class Member:
    def __init__(self, path: Path, reset: float, probes: int) -> None:
        clock = SystemClock()
        self.state = State(lambda: Sqlite(path), "the state", clock)
        self.breakers = Breakers(Rules(2, 0.5, 0, 60.0, reset, probes), {"p": True, "q": True}, clock)
        self.sharing = Sharing(self.state, self.breakers, clock)
        self.tries: list[Try] = []

    async def do(self, command: str, *words: str) -> Any:
        match command:
            case "ask":
                made = Try()
                wait = await self.breakers.ask(made, "p", words[0] if words else "m")
                if wait is None:
                    self.tries.append(made)
                return wait
            case "told":
                self.breakers.told(self.tries.pop(0), words[0])  # type: ignore[arg-type]  # as the test has it
                await self.sharing.step()
            case "hold" | "release":
                getattr(self.breakers, command)("p")
                await self.sharing.step()
            case "states":
                return dict(self.breakers.states)
        return None


async def main(path: str, reset: str, probes: str) -> None:
    member = Member(Path(path), float(reset), int(probes))
    await member.state.start()
    await member.sharing.start()
    loop = asyncio.get_running_loop()
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await member.do(*line.split())), flush=True)
    await member.sharing.aclose()
    await member.state.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
