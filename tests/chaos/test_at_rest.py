"""I6: who reads Redis, all of it, gets nothing that lets him in."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import redis
from session_api.v1 import admin_service_pb2 as admin_pb
from session_api.v1 import session_pb2
from session_api.v1 import session_service_pb2 as pb

from tests.support import eventually_async
from tests.support.in_process import ADMIN_KEY, PASSWORD, ServiceUnderTest, bearer
from tests.support.outcomes import OK, outcome
from tests.support.redis_contents import all_strings, counted

ServeTwo: TypeAlias = Callable[..., Awaitable[tuple[ServiceUnderTest, ServiceUnderTest]]]
GUESSES = {"per_account_and_address": 10**6, "per_address": 10**6, "per_account": 10**6}
NEW_PASSWORD = "another horse's battery"
WRONG_PASSWORD = "typed-at-the-wrong-place"


class Secrets:
    """What the clients of a busy service know and nobody else may."""

    def __init__(self) -> None:
        self.access: list[str] = []
        self.refresh: list[str] = []
        self.others = [PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, ADMIN_KEY]

    def note(self, answer: Any) -> None:
        """Remember the tokens of an answer."""
        self.access.append(answer.access_token)
        self.refresh.append(answer.refresh_token)

    def all(self) -> Iterator[str]:
        """Each of them, and each telling part of a token."""
        yield from self.others
        for token in self.access + self.refresh:
            yield token
        for token in self.access:
            yield from token.split(".")
        for token in self.refresh:
            yield token.rpartition(".")[2]


async def live_busily(service: ServiceUnderTest) -> Secrets:
    """Do everything a service is used for, and more than once."""
    secrets, stub, admin = Secrets(), service.sessions, service.admin_stub
    user_id = await service.add_user("ada", roles=("admin",))
    for device in ("phone", "laptop"):
        secrets.note(await service.login(device=session_pb2.DeviceInfo(device_id=device), request_id=device))
        secrets.note(await service.refresh(secrets.refresh[-1]))
        await service.verify(secrets.access[-1])
    await outcome(stub.Login(pb.LoginRequest(username="ada", password=WRONG_PASSWORD)))
    await outcome(stub.Login(pb.LoginRequest(username=WRONG_PASSWORD, password=PASSWORD)))
    await outcome(service.refresh(secrets.refresh[0][:-1]))
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    await stub.ChangePassword(change, metadata=bearer(secrets.access[-1]))
    await admin.SetPassword(
        admin_pb.SetPasswordRequest(user_id=user_id, password=PASSWORD, keep_sessions=True),
        metadata=service.admin,
    )
    secrets.note(await service.open_session("guest", request_id="r"))
    secrets.note(await service.login())
    return secrets


async def test_nothing_at_rest_is_a_credential(serve_two: ServeTwo, store: redis.Redis) -> None:
    """After a busy life no secret, nor part of one, is in any key, field or value of any type."""
    service, _ = await serve_two()
    secrets = await live_busily(service)
    secrets.others += [key["k"] for ring in service.key_document.values() for key in ring["keys"]]
    await eventually_async(lambda: counted(store)["session_created"] == 1)
    at_rest = all_strings(store)
    assert any("argon2id" in each for each in at_rest)
    found = [secret for secret in secrets.all() for each in at_rest if secret in each]
    assert not found


async def test_nothing_at_rest_can_be_replayed(serve_two: ServeTwo, store: redis.Redis) -> None:
    """Each string in Redis, and each part of one, fails as access token, refresh token, password and key."""
    service, _ = await serve_two(throttling=GUESSES)
    secrets = await live_busily(service)
    await service.verify(secrets.access[-1])
    at_rest = all_strings(store)
    parts = itertools.chain(at_rest, *(re.split(r"[:{}$,\s]", each) for each in at_rest))
    for candidate in {part for part in parts if part.isascii() and part.isprintable() and part}:
        assert await outcome(service.verify(candidate)) == "TOKEN_INVALID"
        assert await outcome(service.refresh(candidate)) == "REFRESH_TOKEN_INVALID"
        stats = service.admin_stub.GetStats(
            admin_pb.GetStatsRequest(), metadata=(("x-service-key", candidate),)
        )
        assert await outcome(stats) == "ADMIN_REQUIRED"
    # Ids and instants are known to be no passwords; each guess costs a hash.
    for candidate in (each for each in at_rest if not re.fullmatch(r"[\w-]{1,22}", each)):
        login = pb.LoginRequest(username="ada", password=candidate[:256])
        assert await outcome(service.sessions.Login(login)) == "INVALID_CREDENTIALS"
    assert await outcome(service.login()) == OK
