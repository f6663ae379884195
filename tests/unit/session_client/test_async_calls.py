"""Deadlines, closing and failures of every call, on both clients."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from session_client import (
    AsyncAdmin,
    AsyncSessionClient,
    DeadlineExceeded,
    ServiceUnavailable,
    SessionClientError,
    Timeouts,
    TooManyAttempts,
)

from session_service.domain import errors
from tests.support import eventually_async
from tests.support.scripted_service import Refused, ScriptedService, rpc_names

if TYPE_CHECKING:
    from tests.support.clients import OpenClient

FAILURES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
# Values for the required parameters of all methods.
ARGUMENTS = {
    "username": "ann",
    "password": "pw",
    "password_hash": "hash",
    "refresh_token": "rt",
    "access_token": "at",
    "access_tokens": ["at"],
    "session_id": "s1",
    "user_id": "u1",
    "current_password": "pw",
    "new_password": "pw2",
    "roles": ["r"],
    "disabled": True,
}


def calls_of(kind: type) -> dict[str, dict[str, Any]]:
    """Name → required arguments, by keyword, of each method that makes a call."""
    methods = {
        name: method
        for name, method in vars(kind).items()
        if inspect.iscoroutinefunction(method) and "timeout" in inspect.signature(method).parameters
    }
    return {name: _required(method) for name, method in methods.items() if not name.startswith("_")}


def _required(method: Callable[..., Any]) -> dict[str, Any]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return {one.name: ARGUMENTS[one.name] for one in parameters if one.default is inspect.Parameter.empty}


async def each_call(client: AsyncSessionClient, make: Callable[[Awaitable[Any]], Awaitable[None]]) -> None:
    """Make every call of a client and its ``admin`` in the given way."""
    for kind, owner in ((AsyncSessionClient, client), (AsyncAdmin, client.admin)):
        for name, arguments in calls_of(kind).items():
            await make(getattr(owner, name)(**arguments))


async def _told(call: Awaitable[Any]) -> None:
    """Raise the failure of a call, also of one that gives it as the result for each token."""
    result = await call
    if isinstance(result, tuple):
        raise result[0]


async def test_every_rpc_has_a_method(client: AsyncSessionClient, service: ScriptedService) -> None:
    """Each RPC of the API is reached by one method at least, and each method reaches one."""

    async def make(call: Awaitable[Any]) -> None:
        await call

    await each_call(client, make)
    assert {call.name for call in service.calls} == set(rpc_names())


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
async def test_no_exception_of_grpc_gets_out(
    client: AsyncSessionClient, service: ScriptedService, code: grpc.StatusCode
) -> None:
    """Whatever status any method meets, what it raises is the client's own and names the code."""
    for name in rpc_names():
        service.script(name, Refused(code))

    async def make(call: Awaitable[Any]) -> None:
        with pytest.raises(SessionClientError) as caught:
            await _told(call)
        assert grpc.RpcError not in type(caught.value).__mro__
        assert caught.value.code == code.name
        assert str(caught.value) == "refused"

    await each_call(client, make)


async def test_a_dead_service_is_unavailable(open_client: OpenClient, service: ScriptedService) -> None:
    """Where nothing listens, every method fails at once, as unavailable and not as logged out."""
    service.stop()

    async def make(call: Awaitable[Any]) -> None:
        with pytest.raises(ServiceUnavailable) as caught:
            await _told(call)
        assert caught.value.reason == ""
        assert caught.value.retry_after is None

    async with asyncio.timeout(20), open_client(service.target) as client:
        await each_call(client, make)


async def test_a_service_that_dies_during_a_change(
    client: AsyncSessionClient, service: ScriptedService
) -> None:
    """A connection lost in the middle of a change is unavailable, and the change is not sent again."""
    service.script("RevokeSession", service.hang)
    call = asyncio.ensure_future(client.revoke_session("at", "s1"))
    await eventually_async(lambda: service.count("RevokeSession") == 1)
    await asyncio.to_thread(service.stop)

    with pytest.raises(ServiceUnavailable):
        await call
    assert service.count("RevokeSession") == 1


async def test_default_deadlines(open_client: OpenClient, service: ScriptedService) -> None:
    """Checks may take a second, changes five."""
    async with open_client(service.target, timeouts=None) as client:
        await client.verify_token("at")
        await client.login("ann", "pw")

    assert [round(call.time_left) for call in service.calls] == [1, 5]


async def test_deadlines_of_a_client(open_client: OpenClient, service: ScriptedService) -> None:
    """A client has its own defaults, and a call may have another one."""
    async with open_client(service.target, timeouts=Timeouts(read=20, write=30)) as client:
        await client.verify_token("at")
        await client.logout("at")
        await client.verify_token("at", timeout=40)
        await client.logout("at", timeout=50)

    assert [round(call.time_left, -1) for call in service.calls] == [20, 30, 40, 50]


async def test_no_answer_in_time(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A call without an answer ends at its deadline, and is not made again."""
    service.script("VerifyToken", service.hang)

    with pytest.raises(DeadlineExceeded):
        await client.verify_token("at", timeout=0.1)
    assert service.count("VerifyToken") == 1


async def test_a_timeout_of_zero_is_over(open_client: OpenClient, service: ScriptedService) -> None:
    """Zero seconds are no time, and not the default."""
    service.script("VerifyToken", service.hang)
    async with asyncio.timeout(10), open_client(service.target, timeouts=Timeouts(read=60)) as client:
        with pytest.raises(DeadlineExceeded):
            await client.verify_token("at", timeout=0)


async def test_a_closed_client_says_so(open_client: OpenClient, service: ScriptedService) -> None:
    """Using a client after closing it is a mistake in the program; closing it twice is none."""
    async with open_client(service.target) as client:
        await client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.verify_token("at")
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.admin.get_stats()


async def test_closing_ends_calls_under_way(open_client: OpenClient, service: ScriptedService) -> None:
    """A call that is cut off by close fails as the client's own error, not as a cancelled task."""
    service.script("Login", service.hang)
    async with open_client(service.target) as client:
        call = asyncio.ensure_future(client.login("ann", "pw"))
        await eventually_async(lambda: service.count("Login") == 1)
    with pytest.raises(SessionClientError) as caught:
        await call
    assert caught.value.code == "CANCELLED"


async def test_cancelling_a_task_cancels_its_call(service: ScriptedService) -> None:
    """A task that is cancelled stays so: the client does not turn that into an error of its own."""
    service.script("Login", service.hang)
    async with AsyncSessionClient(service.target) as client:
        call = asyncio.ensure_future(client.login("ann", "pw"))
        await eventually_async(lambda: service.count("Login") == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_asyncio_timeout_works(service: ScriptedService) -> None:
    """A caller's own `asyncio.timeout` ends a call as it ends everything else."""
    service.script("Login", service.hang)
    async with AsyncSessionClient(service.target) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.login("ann", "pw")


async def test_rate_limits_say_how_long_to_wait(client: AsyncSessionClient, service: ScriptedService) -> None:
    """A throttled login carries the service's own waiting time, and is not made again."""
    service.script("Login", errors.TooManyAttempts(12.5))

    with pytest.raises(TooManyAttempts) as caught:
        await client.login("ann", "pw")
    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() == 12.5
    assert service.count("Login") == 1


def test_a_client_without_a_loop() -> None:
    """Made outside an event loop, the client says so instead of binding itself to another one."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncSessionClient("127.0.0.1:1")
