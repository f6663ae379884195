"""From start to end: wake-ups, shutting down, the interpreter's exit, panics."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.carrier import DEFAULTS, ECHO, FEED, MUTE, Carrier, package
from tests.engine.wire import PREFACE, SETTINGS, block, fields, frame, frames, message, plain
from tests.engine.wire import grpc as call_of
from tests.support.waiting import eventually, eventually_async

Carry = Callable[..., Carrier]

_PROGRAM = """
import select, socket, sys
from tests.engine.carrier import DEFAULTS, package

engine = package.Engine(**DEFAULTS)
listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()
engine.listen(listener.detach())
"""


def _run(program: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, in this environment."""
    whole = _PROGRAM + textwrap.dedent(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-c", whole],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


_WITH_CALLS = """
clients = []
for path in ("/a", "/b", "/c"):
    client = socket.create_connection(address)
    client.sendall(f"GET {path} HTTP/1.1\\r\\nhost: h\\r\\n\\r\\n".encode())
    clients.append(client)
calls = []
while len(calls) < 3:
    select.select([engine.fileno()], [], [])
    calls += engine.take()[0]
engine.start(calls[0].id, [])
"""

ENDS = {
    "left as it is": "",
    "shut down": "engine.shut_down(); engine.shut_down()",
    "dropped": "del engine, calls",
    "kept by a cycle": "kept = [engine, calls]; kept.append(kept); del engine, calls, kept",
    "exit": "sys.exit(0)",
    "exit in a thread": "import threading; threading.Thread(target=engine.shut_down).start()",
    "kept by a module": "sys.engine = engine; sys.calls = calls",
    "within a flood": "import threading\n"
    "def pour():\n"
    "    while True: socket.create_connection(address).close()\n"
    "threading.Thread(target=pour, daemon=True).start()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends_well_while_calls_are_open(end: str) -> None:
    """The interpreter ends well while calls are open."""
    ended = _run(_WITH_CALLS + end)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["a file", "a socket that does not listen"])
def test_a_panic_ends_the_process_and_says_why(kind: str) -> None:
    """A panic ends the process and says why."""
    opened = "os.open('/dev/null', 0)" if kind == "a file" else "socket.socket().detach()"
    ended = _run(f"import os\nengine.listen({opened})\nselect.select([], [], [], 20)")
    assert ended.returncode < 0
    [line] = ended.stderr.strip().splitlines()
    assert line.startswith('{"level":"critical"')
    assert '"event":"engine panicked"' in line
    assert "cannot" in line


def test_an_engine_that_cannot_be_made_is_an_error() -> None:
    """An engine that cannot be made is an error."""
    ended = _run("""
        import os, resource
        opened = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        while len(opened) < 64:
            try:
                opened.append(os.dup(0))
            except OSError:
                break
        failed = 0
        while True:
            try:
                package.Engine(**DEFAULTS)
                break
            except OSError:
                failed += 1
                os.close(opened.pop())
        print(failed)
        engine.shut_down()
    """)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) >= 3


def test_a_panic_of_another_thread_is_left_alone() -> None:
    """A panic of another thread is left alone."""
    ended = _run("raise SystemExit(3)")
    assert (ended.returncode, ended.stderr) == (3, "")


async def test_shutting_down_ends_open_calls_and_the_thread(carry: Carry) -> None:
    """Shutting down ends open calls and the thread."""
    carrier = carry()
    async with frames(carrier) as client, plain(carrier) as connection, plain(carrier) as idle:
        await client.request(call_of(ECHO), message(b"hang"))
        await client.begin_request(call_of(MUTE))
        await client.begin_request(call_of(FEED))
        await connection.send(b"GET /hang HTTP/1.1\r\nhost: h\r\n\r\n")
        assert (await idle.get("/x")).status == 200
        await eventually_async(lambda: len(carrier.calls) == 5)
        began = time.monotonic()
        carrier.engine.shut_down()
        assert time.monotonic() - began < 1.5
        assert await idle.rest() == b""
        assert await connection.rest() == b""
        await client.ended()
    assert "engine" not in _thread_names()
    # All of it may be called again.
    carrier.engine.shut_down()
    carrier.engine.stop_listening()
    carrier.engine.answer([(carrier.calls[0].id, b"")])


def _thread_names() -> set[str]:
    names = set()
    for thread in Path("/proc/self/task").iterdir():
        names.add((thread / "comm").read_text(encoding="ascii").strip())
    return names


async def test_answers_given_before_shutting_down_arrive(carry: Carry) -> None:
    """Answers given before shutting down arrive."""
    carrier = carry()
    async with frames(carrier) as client, plain(carrier) as connection:
        stream = await client.request(call_of(ECHO), message(b"hang"))
        assert await client.pinged()
        client.answers_pings = False
        await connection.send(b"GET /hang HTTP/1.1\r\nhost: h\r\n\r\n")
        await eventually_async(lambda: len(carrier.calls) == 2)
        for call in carrier.calls:
            if call.kind == package.UNARY:
                carrier.engine.answer([(call.id, b"last")])
            else:
                carrier.engine.respond(call.id, 200, [], b"last")
        carrier.engine.shut_down()
        assert (await connection.response()).body == b"last"
        answered = await client.answer(stream)
        assert answered
        assert answered[1] == message(b"last")


def test_an_engine_that_is_dropped_ends_its_thread() -> None:
    """An engine that is dropped ends its thread."""
    eventually(lambda: "engine" not in _thread_names())
    engine = package.Engine(**DEFAULTS)
    eventually(lambda: "engine" in _thread_names())
    del engine
    gc.collect()
    eventually(lambda: "engine" not in _thread_names())


async def test_hushed_it_is_silent_until_something_comes_after_the_next_take(carry: Carry) -> None:
    """Hushed it is silent until something comes after the next take."""
    carrier = carry()
    engine = carrier.engine
    asyncio.get_running_loop().remove_reader(engine.fileno())

    def readable() -> bool:
        return bool(select.select([engine.fileno()], [], [], 0)[0])

    async with frames(carrier) as client:
        await client.request(fields())
        await eventually_async(readable)
        engine.hush()
        assert not readable()
        await client.request(fields())
        assert await client.pinged()
        assert not readable()
        assert len(engine.take()[0]) == 2
        assert not readable()
        await client.request(fields())
        await eventually_async(readable)
        assert len(engine.take()[0]) == 1
        assert engine.take() == ([], [])


def test_no_wake_up_is_lost() -> None:
    """No wake up is lost."""
    engine = package.Engine(**DEFAULTS)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    engine.listen(listener.detach())
    calls, clients = 10_000, 4
    taken = 0

    def send() -> None:
        with socket.create_connection(address) as client:
            client.sendall(PREFACE + frame(SETTINGS, 0, 0))
            threading.Thread(target=_discard, args=[client], daemon=True).start()
            for stream in range(1, 2 * calls, 2):
                client.sendall(frame(1, 5, stream, block(fields())))
                limit.acquire()
            done.wait(30)

    limit = threading.Semaphore(200)
    done = threading.Event()
    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        while taken < calls * clients:
            assert select.select([engine.fileno()], [], [], 10)[0], f"a wake-up was lost after {taken}"
            if taken % 3 == 0:
                engine.hush()
            found, _ = engine.take()
            for call in found:
                engine.respond(call.id, 200, [], b"")
            taken += len(found)
            if found:
                limit.release(len(found))
    finally:
        done.set()
        for thread in threads:
            thread.join()
        engine.shut_down()


def _discard(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(1 << 16):
            pass


def test_spans_must_be_spans() -> None:
    """Spans must be spans."""
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"\w"):
            package.Engine(**(DEFAULTS | {"idle_seconds": wrong}))
