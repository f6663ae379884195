"""Users and sessions to measure with, created by the product's own stores.

Each session is one run of the product's own script with arguments that the product's own writer
makes, so the keys are those of a login. Only the way there is another: the scripts go down the
pipelined channel, many under way at once, where the service takes a connection for each.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import uvloop
from prometheus_client import CollectorRegistry

from session_service.app import Backend, make_metrics
from session_service.config import load_config
from session_service.domain.administration import NewUser
from session_service.domain.checks import CLOCK_SKEW_SECONDS
from session_service.domain.events import Actor
from session_service.domain.grants import Grants
from session_service.domain.models import Device, NewSession, TokenGrant
from session_service.domain.policy import device_fingerprint, new_id
from session_service.storage.scripts import Mutations, Part, load
from session_service.storage.sessions import RedisSessionWriter
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.keys import load_key_ring
from session_service.tokens.refresh import HmacRefreshTokens
from session_service.users.password_hashes import OWASP_ARGON2ID, Argon2Profile, PasswordHashes

PASSWORD: Final = "correct horse battery staple"  # noqa: S105 - of accounts that live for minutes

_UNDER_WAY: Final = 200
_ACTOR: Final = Actor("benchmarks")


def typical_device(number: int) -> Device:
    """What a browser's login says of itself."""
    return Device(
        device_id=f"5f0c3a1e-8d7b-4c55-9a60-{number:012x}",
        name="Chrome on Windows",
        platform="web",
        user_agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/143.0.0.0 Safari/537.36",
        app_version="2026.2.1",
    )


class Population:
    """Creates users and sessions in the Redis of a configuration.

    Args:
        backend: open, over that Redis.
    """

    def __init__(self, backend: Backend) -> None:
        config = backend.config
        assert config.tokens.key_file  # noqa: S101 - write_config sets it
        ring = load_key_ring(config.tokens.key_file)
        access = JwtAccessTokens(
            ring, config.tokens.issuer, config.tokens.audience, time.time, leeway=CLOCK_SKEW_SECONDS
        )
        self._grants = Grants(access, HmacRefreshTokens(ring), time.time)
        self._backend = backend
        self._writer = RedisSessionWriter(_PipelinedMutations(backend), config.session.policy())

    async def sessions(self, count: int, *, per_user: int = 1, granted: int) -> list[TokenGrant]:
        """Create sessions of new users who are not in the directory, as after a single sign-on.

        Args:
            count: how many.
            per_user: of each user.
            granted: for how many of them, evenly spread, tokens are wanted.
        """
        users = [new_id() for _ in range(-(-count // per_user))]
        every = count // granted if granted else count + 1
        numbers = iter(range(count))
        grants: list[TokenGrant] = []

        async def create() -> None:
            for number in numbers:
                new = _new_session(users[number // per_user], number // per_user, number)
                created = await self._writer.create(new)
                if number % every == 0 and len(grants) < granted:
                    grants.append(self._grants.issue(new.user_id, created.session_id, created))

        await self._backend.connections.client.script_load(load("create").text)
        await asyncio.gather(*(create() for _ in range(_UNDER_WAY)))
        return grants

    async def users(self, count: int, hashes: PasswordHashes) -> list[str]:
        """Add users to the directory, all with ``PASSWORD``; returns their names."""
        password_hash = hashes.hash(PASSWORD)
        names = [f"user{number:07}@example.com" for number in range(count)]
        for name in names:
            new = NewUser(name, password_hash=password_hash, roles=("user",))
            await self._backend.administration.create_user(new, _ACTOR)
        return names


def create_sessions(config: Path, count: int, *, per_user: int = 1, granted: int = 0) -> list[TokenGrant]:
    """``Population.sessions`` in the Redis of a configuration file."""

    async def create() -> list[TokenGrant]:
        async with _backend(config) as backend:
            return await Population(backend).sessions(count, per_user=per_user, granted=granted)

    return uvloop.run(create())


def create_users(config: Path, count: int, profile: Argon2Profile = OWASP_ARGON2ID) -> list[str]:
    """``Population.users`` in the Redis of a configuration file, their passwords hashed by a profile."""

    async def create() -> list[str]:
        async with _backend(config) as backend:
            return await Population(backend).users(count, PasswordHashes(profile))

    return uvloop.run(create())


def _backend(config: Path) -> Backend:
    """Over that Redis, and willing to wait: to fill it on a busy machine is no time to give up early."""
    environ = {"SESSION_REDIS__COMMAND_TIMEOUT": "10", "SESSION_REDIS__CONNECT_TIMEOUT": "10"}
    return Backend(load_config(config, environ), make_metrics(CollectorRegistry()))


class _PipelinedMutations(Mutations):
    """Runs scripts on the channel that the service reads through."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.connections.client)
        self._reads = backend.connections.reads

    async def _send(self, key: str, command: tuple[Part, ...], acknowledged: bool) -> Any:  # noqa: ANN401, ARG002 - as in Mutations
        [reply] = await self._reads.read(key, command)
        return reply


def _new_session(user_id: str, user: int, number: int) -> NewSession:
    device = typical_device(number)
    return NewSession(
        session_id=new_id(),
        token_id=new_id(),
        user_id=user_id,
        username=f"user{user:07}@example.com",
        roles=("user",),
        device=device,
        fingerprint=device_fingerprint(device),
        ip_address=f"203.0.113.{number % 256}",
    )
