"""Sentinel names another primary in the middle of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_service_pb2 as pb

from tests.support import LOOPBACK, RedisBinary, RedisSentinel, RedisServer, eventually_async
from tests.support.in_process import ServiceUnderTest, bearer, patient_with
from tests.support.outcomes import OK, is_away, is_serving, outcome
from tests.support.workload import Workload

Serve: TypeAlias = Callable[..., Awaitable[ServiceUnderTest]]
ENDINGS = ("Logout", "LogoutAll", "RevokeUserSessions", "SetUserDisabled", "SetPassword")
PATIENCE = 30.0


async def test_what_replicas_have_outlives_the_primary(one_binary: RedisBinary, serve: Serve) -> None:
    """A short UNAVAILABLE, then on: no session and no end is lost that a replica had to acknowledge."""
    with RedisSentinel(one_binary) as sentinel:
        host, port = sentinel.address
        where = {"service": sentinel.service_name, "nodes": [f"{host}:{port}"]}
        service = await serve(
            {"sentinel": where, "wait_replicas": 1}, session={"refresh_grace": 600}, sweep={"interval": 1}
        )
        workload = Workload(service)
        await eventually_async(lambda: workload.outcomes[OK] > 100, timeout=PATIENCE)
        lost = sentinel.primary
        primary = await asyncio.to_thread(sentinel.fail_over)
        # It comes back as the replica that changes wait for.
        lost.config["replicaof"] = f"{LOOPBACK} {primary.port}"
        await asyncio.to_thread(lost.start)
        since = workload.outcomes[OK]
        await eventually_async(lambda: workload.outcomes[OK] > since + 100, timeout=PATIENCE)
        await workload.stop()
        assert workload.outcomes["STORE_UNAVAILABLE"]
        for token in workload.alive:
            await service.verify(token)
        for token in workload.ended:
            assert await outcome(service.verify(token)) == "SESSION_ENDED"


async def test_an_end_that_nobody_confirmed_is_not_undone(
    start_one_redis: Callable[..., RedisServer], serve: Serve
) -> None:
    """Made but acknowledged by no replica, UNAVAILABLE, and then lost with Redis: it is made once more."""
    server = start_one_redis({"save": "3600 1000000"})
    service = await serve(patient_with(server))
    waiting = await serve({"unix_socket": server.socket_path, "wait_replicas": 1})
    users = {rpc: await service.add_user(rpc) for rpc in ENDINGS}
    tokens = {rpc: (await service.login(rpc)).access_token for rpc in ENDINGS}
    with server.client() as client:
        client.save()
    for rpc, user_id in users.items():
        assert await outcome(_end(waiting, rpc, user_id, tokens[rpc])) == "STORE_UNAVAILABLE"
        assert await outcome(waiting.verify(tokens[rpc])) == "SESSION_ENDED"
    server.kill()
    await eventually_async(lambda: is_away(waiting), timeout=PATIENCE)
    server.start()
    await eventually_async(lambda: is_serving(waiting), timeout=PATIENCE)
    for token in tokens.values():
        assert await outcome(waiting.verify(token)) == "SESSION_ENDED"


def _end(service: ServiceUnderTest, rpc: str, user_id: str, token: str) -> Awaitable[Any]:
    stub, admin_stub, own = service.sessions, service.admin_stub, bearer(token)
    if rpc == "Logout":
        return stub.Logout(pb.LogoutRequest(), metadata=own)
    if rpc == "LogoutAll":
        return stub.LogoutAll(pb.LogoutAllRequest(), metadata=own)
    if rpc == "SetPassword":
        change = admin_pb.SetPasswordRequest(user_id=user_id, password="another horse's battery")
        return admin_stub.SetPassword(change, metadata=service.admin)
    if rpc == "SetUserDisabled":
        disable = admin_pb.SetUserDisabledRequest(user_id=user_id, disabled=True)
        return admin_stub.SetUserDisabled(disable, metadata=service.admin)
    everywhere = admin_pb.RevokeUserSessionsRequest(user_id=user_id)
    return admin_stub.RevokeUserSessions(everywhere, metadata=service.admin)
