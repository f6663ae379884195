"""One client process that is measured, or that others are measured by: ``python -m benchmarks.verifying``.

Its arguments are what to do, the service's address and a file of access tokens. It speaks JSON, a line at a
time: ``"ready"`` when it is, then after a line on its standard input what it measured.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import jwt
from session_client import (
    AsyncSessionClient,
    AsyncTokenVerifier,
    SessionClient,
    Timeouts,
    TokenVerifier,
    _channel,
)
from session_client._memory import Memory

_PATIENT: Final = Timeouts(read=10.0)
_ROUNDS: Final = 7
_LONG: Final = 60.0
_AT_ONCE: Final = 64
_KEY: Final = b"0123456789abcdef0123456789abcdef"


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - what it is for


def _told() -> str:
    return sys.stdin.readline()


async def _remember(verifier: AsyncTokenVerifier, tokens: Iterator[str], first: str) -> None:
    """Have these tokens remembered; ``first`` is verified until the stream stands, before which none is."""
    while not verifier._watching.was_confirmed:  # noqa: SLF001 - looked into from outside
        await verifier.verify(first)

    async def some() -> None:
        for token in tokens:
            await verifier.verify(token)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


def hits(address: str, tokens: list[str]) -> None:
    """Time hits on one core, of both verifiers, and ``jwt.decode`` besides.

    Each token is verified once, and then in random order by another string of the same text, as each
    request brings its own; what hashing the new string costs is in the first of the rounds and left out
    of the others as in a program that keeps the token of a connection.
    """
    again = ["".join(token) for token in tokens]
    random.shuffle(again)
    with (
        SessionClient(address, timeouts=_PATIENT) as client,
        TokenVerifier(client, max_staleness=_LONG) as verifier,
    ):
        while not verifier._watching.was_confirmed:  # noqa: SLF001 - looked into from outside
            verifier.verify(tokens[0])
        for token in tokens:
            verifier.verify(token)
        threaded = [_rate(verifier.verify, again) for _ in range(_ROUNDS)]
    awaited = asyncio.run(_awaited(address, tokens, again))
    encoded = jwt.encode({"sub": "u", "sid": "s", "exp": time.time() + 1800}, _KEY, algorithm="HS256")
    decoding = [
        _rate(lambda token: jwt.decode(token, _KEY, algorithms=["HS256"]), [encoded] * 2_000)
        for _ in range(_ROUNDS)
    ]
    over = [hit / decode for hit, decode in zip(threaded, decoding, strict=True)]
    _say({"per_s": threaded, "awaited_per_s": awaited, "over_jwt": over})


def _rate(call: Callable[[str], object], tokens: list[str]) -> float:
    began = time.perf_counter()
    for token in tokens:
        call(token)
    return len(tokens) / (time.perf_counter() - began)


async def _awaited(address: str, tokens: list[str], again: list[str]) -> list[float]:
    async with (
        AsyncSessionClient(address, timeouts=_PATIENT) as client,
        AsyncTokenVerifier(client, max_staleness=_LONG) as verifier,
    ):
        await _remember(verifier, iter(tokens), tokens[0])
        rates = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            for token in again:
                await verifier.verify(token)
            rates.append(len(again) / (time.perf_counter() - began))
            await asyncio.sleep(0)
        return rates


async def memory(address: str, tokens: list[str]) -> None:
    """What Python has allocated for each remembered token, its own copy of the token included."""
    stored = [token.encode() for token in tokens]
    tokens.clear()
    async with (
        AsyncSessionClient(address, timeouts=_PATIENT) as client,
        AsyncTokenVerifier(client, max_staleness=_LONG, max_tokens=len(stored)) as verifier,
    ):
        await _remember(verifier, iter(()), stored[0].decode())
        gc.collect()
        tracemalloc.start()
        await _remember(verifier, (each.decode() for each in stored), "")
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        _say(used / len(verifier._watching._memory.entries))  # noqa: SLF001 - as above


async def lag(address: str, tokens: list[str]) -> None:
    """When each token left the memory, by the clock that all processes of the machine share."""
    numbers = {token: number for number, token in enumerate(tokens)}
    gone: dict[int, float] = {}
    all_gone = asyncio.Event()
    drop_id = Memory.drop_id

    def noting(self: Memory, number: int) -> None:
        token = self._tokens.get(number)
        drop_id(self, number)
        if token is not None:
            gone[numbers[token]] = time.monotonic()
        if len(gone) == len(tokens):
            all_gone.set()

    Memory.drop_id = noting  # type: ignore[method-assign]
    async with (
        AsyncSessionClient(address, timeouts=_PATIENT) as client,
        AsyncTokenVerifier(client, max_staleness=_LONG, max_tokens=len(tokens)) as verifier,
    ):
        await _remember(verifier, iter(tokens), tokens[0])
        _say("ready")
        await asyncio.to_thread(_told)
        with suppress(TimeoutError):
            await asyncio.wait_for(all_gone.wait(), 5)
        _say([gone.get(number) for number in range(len(tokens))])


async def idle(address: str, tokens: list[str]) -> None:
    """Two hundred verifiers, each with a connection of its own, that nobody uses."""
    _channel.OPTIONS.append(("grpc.use_local_subchannel_pool", 1))
    clients = [AsyncSessionClient(address, timeouts=_PATIENT) for _ in range(200)]
    verifiers = [AsyncTokenVerifier(client) for client in clients]
    for number, verifier in enumerate(verifiers):
        await verifier.verify(tokens[number % len(tokens)])
    _say("ready")
    await asyncio.to_thread(_told)
    for verifier, client in zip(verifiers, clients, strict=True):
        await verifier.close()
        await client.close()


async def watch(address: str, tokens: list[str]) -> None:
    """Check all tokens strictly; then, when told, watch them all, until told."""
    async with (
        AsyncSessionClient(address, timeouts=_PATIENT) as client,
        AsyncTokenVerifier(client, max_staleness=_LONG, max_tokens=len(tokens)) as verifier,
    ):
        await client.verify_tokens(tokens)
        _say("ready")
        await asyncio.to_thread(_told)
        await _remember(verifier, iter(tokens), tokens[0])
        _say(len(verifier._watching._memory.entries))  # noqa: SLF001 - as above
        await asyncio.to_thread(_told)


async def checks(address: str, tokens: list[str]) -> None:
    """Two thousand strict checks a second, until told."""
    async with AsyncSessionClient(address, timeouts=_PATIENT) as client:
        told = asyncio.create_task(asyncio.to_thread(_told))
        _say("ready")
        due = time.monotonic()
        under_way: set[asyncio.Task[Any]] = set()
        while not told.done():
            for _ in range(20):
                task = asyncio.create_task(client.verify_token(random.choice(tokens)))  # noqa: S311
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*under_way, return_exceptions=True)


def main() -> None:
    """Do what the first argument names."""
    _, what, address, file = sys.argv
    tokens = Path(file).read_text(encoding="utf-8").split()
    if what == "hits":
        hits(address, tokens)
        return
    jobs = {"memory": memory, "lag": lag, "idle": idle, "watch": watch, "checks": checks}
    asyncio.run(jobs[what](address, tokens))


if __name__ == "__main__":
    main()
