"""The only place that wires: from a configuration to the objects of one process.

``Backend`` is everything that stands on Redis; the command line stops there. ``Service`` adds
what answers calls. Both are made inside the process and the event loop that use them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Self

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from session_service.config import Config, ConfigError
from session_service.config.redis import RedisSection, RedisTlsSection, SentinelSection
from session_service.domain.administration import Administration
from session_service.domain.authorization import Authorization
from session_service.domain.checks import CLOCK_SKEW_SECONDS, TokenCheck
from session_service.domain.credentials import Credentials
from session_service.domain.grants import Grants
from session_service.domain.logins import Logins
from session_service.domain.models import Stats
from session_service.domain.ports import AuditLog
from session_service.domain.public_paths import PublicPaths
from session_service.domain.refusals import RefusalsThinned
from session_service.domain.service_keys import ServiceKeys
from session_service.domain.sessions import Sessions
from session_service.domain.steady import steady
from session_service.domain.throttling import LoginThrottle
from session_service.domain.wholeness import all_whole
from session_service.observability.audit import WatchedAudit
from session_service.observability.metrics import Metrics
from session_service.observability.upkeep import WatchedUpkeep
from session_service.rpc.admin_gate import AdminGate
from session_service.rpc.admin_servicer import AdminServicer
from session_service.rpc.caller import Callers
from session_service.rpc.ext_authz_servicer import ExtAuthzServicer
from session_service.rpc.health import Health
from session_service.rpc.http.forward_auth import ForwardAuth
from session_service.rpc.mount import ADMIN_SERVICE, AUTHORIZATION, METHODS, SESSION_SERVICE, Servicers
from session_service.rpc.session_servicer import SessionServicer
from session_service.rpc.token_streams import TokenStreams
from session_service.storage.attempts import RedisAttempts
from session_service.storage.audit import RedisAuditLog
from session_service.storage.connections import RedisConnections
from session_service.storage.embedded import EmbeddedRedis
from session_service.storage.fsck import RedisFsck
from session_service.storage.remembering import LiveSessions, RememberingSessionWriter, RememberingUserWriter
from session_service.storage.sessions import RedisSessionReader, RedisSessionWriter
from session_service.storage.settings import RedisSentinel, RedisSettings, RedisTls
from session_service.storage.upkeep import RedisUpkeep
from session_service.storage.users import RedisUserReader, RedisUserWriter
from session_service.storage.watches import RedisSessionWatches
from session_service.storage.watching import WatchedMutations, WatchedReads
from session_service.tokens.access import JwtAccessTokens
from session_service.tokens.keys import KeyRing
from session_service.tokens.refresh import HmacRefreshTokens
from session_service.users.common_passwords import load_common_passwords
from session_service.users.hashing import PooledPasswordHasher, default_threads
from session_service.users.password_hashes import PasswordHashes

_PATIENT_CONNECT_SECONDS: Final = 2.0
_PATIENT_COMMAND_SECONDS: Final = 10.0


def redis_settings(config: RedisSection) -> RedisSettings:
    """What the storage needs to know of the section ``redis``.

    Raises:
        ConfigError: ``redis.url`` is not one; what it says is not repeated.
    """
    embedded = EmbeddedRedis(config.data_dir).socket if config.embedded else None
    settings = RedisSettings(
        url=_secret(config.url),
        host=config.host,
        port=config.port,
        db=config.db,
        username=config.username or "",
        password=_secret(config.password),
        unix_socket_path=str(embedded or config.unix_socket or ""),
        sentinel=_sentinel(config.sentinel),
        cluster=tuple(config.cluster.nodes) if config.cluster else (),
        tls=_tls(config.tls),
        max_connections=config.max_connections,
        connect_timeout=config.connect_timeout,
        command_timeout=config.command_timeout,
        wait_replicas=config.wait_replicas,
    )
    try:
        return settings.resolved()
    except ValueError as error:
        raise ConfigError(str(error)) from error


def patient(config: Config) -> Config:
    """The configuration with time-outs for people, who can wait, in place of a gateway's."""
    redis = config.redis
    timeouts = {
        "connect_timeout": max(redis.connect_timeout, _PATIENT_CONNECT_SECONDS),
        "command_timeout": max(redis.command_timeout, _PATIENT_COMMAND_SECONDS),
    }
    return config.model_copy(update={"redis": redis.model_copy(update=timeouts)})


def _sentinel(section: SentinelSection | None) -> RedisSentinel | None:
    if section is None:
        return None
    return RedisSentinel(
        service=section.service,
        nodes=tuple(section.nodes),
        username=section.username or "",
        password=_secret(section.password),
    )


def _tls(section: RedisTlsSection | None) -> RedisTls | None:
    if section is None:
        return None
    files = (section.ca_file, section.cert_file, section.key_file)
    return RedisTls(*(str(file or "") for file in files))


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""


class Backend:
    """Everything that stands on Redis: ``async with Backend(config, metrics) as backend``.

    Opening does not fail where Redis is away: calls then fail with ``StoreUnavailable`` until it
    is there.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self.config = config
        self.metrics = metrics
        self.connections = RedisConnections(redis_settings(config.redis))
        mutations = WatchedMutations(
            self.connections.client,
            self.connections.changes,
            wait_replicas=config.redis.wait_replicas,
            wait_timeout=config.redis.command_timeout / 2,
            observer=metrics.store,
        )
        reads = WatchedReads(self.connections.reads, metrics.store)
        self.reader = RedisSessionReader(reads)
        self.watches = RedisSessionWatches(reads, self.connections.tracking)
        live, ends = LiveSessions(reads), self.connections.ends
        sessions = RedisSessionWriter(mutations, config.session.policy())
        self.writer = RememberingSessionWriter(sessions, live, ends)
        self.users = RedisUserReader(reads)
        self.directory = RememberingUserWriter(RedisUserWriter(mutations, self.users), live, ends)
        self.attempts = RedisAttempts(mutations)
        self.upkeep = WatchedUpkeep(RedisUpkeep(self.connections, mutations), metrics.sweeps)
        self.fsck = RedisFsck(self.connections, mutations)
        self._stream = RedisAuditLog(
            mutations,
            stream_length=config.audit.stream_length,
            capacity=config.audit.buffer,
            observer=metrics.events,
        )
        watched = WatchedAudit(self._stream, metrics.events)
        self.audit: AuditLog = RefusalsThinned(watched, time.monotonic)
        self._hasher = PooledPasswordHasher(
            PasswordHashes(),
            threads=config.passwords.hashing_threads or default_threads(config.server.workers),
            queue=config.passwords.hashing_queue,
            observer=metrics.hashing,
        )
        self.throttle = LoginThrottle(self.attempts, config.throttling.policy())
        self.sessions = Sessions(self.reader, self.writer, self.audit)
        self.administration = Administration(
            users=self.users,
            directory=self.directory,
            hasher=self._hasher,
            throttle=self.throttle,
            audit=self.audit,
            common_passwords=_common_passwords(config),
        )

    async def __aenter__(self) -> Self:
        await self.connections.open()
        await self._stream.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await all_whole()
        await self._stream.close()
        self._hasher.close()
        await self.connections.close()

    async def sweep_if_due(self) -> Stats:
        """Sweep unless another worker or server did within half an interval; the totals."""
        stats = await self.upkeep.stats()
        if time.time() - stats.counted_ms / 1000 > self.config.sweep.interval / 2:
            await self.upkeep.sweep()
            stats = await self.upkeep.stats()
        return stats

    def logins(self, access: JwtAccessTokens, refresh: HmacRefreshTokens) -> Logins:
        """The use-cases that also need tokens."""
        return Logins(
            users=self.users,
            directory=self.directory,
            hasher=self._hasher,
            throttle=self.throttle,
            reader=self.reader,
            sessions=self.writer,
            refresh_tokens=refresh,
            grants=Grants(access, refresh, time.time),
            audit=self.audit,
        )


class Service:
    """What answers calls, over a backend.

    Args:
        backend: an open backend.
        ring: the keys that sign and verify.

    Attributes:
        servicers: what is mounted on an engine.
        health: theirs, and the server's.
    """

    def __init__(self, backend: Backend, ring: KeyRing) -> None:
        config = backend.config
        self._watches = backend.watches
        self._access = JwtAccessTokens(
            ring,
            config.tokens.issuer,
            config.tokens.audience,
            time.time,
            leeway=CLOCK_SKEW_SECONDS,
        )
        self._refresh = HmacRefreshTokens(ring)
        check = TokenCheck(
            self._access,
            backend.reader,
            backend.watches,
            backend.writer,
            policy=config.session.policy(),
            clock=time.time,
            steady=steady,
        )
        logins = backend.logins(self._access, self._refresh)
        callers = Callers(ServiceKeys(config.admin.keys()), config.server.trusted_proxies)
        gate = AdminGate(callers, check, backend.audit)
        administration, sessions = backend.administration, backend.sessions
        authz = config.authz
        authorization = Authorization(check, Credentials(authz.cookie), PublicPaths(authz.public_paths))
        told = backend.metrics.decisions
        for_envoy = ExtAuthzServicer(authorization, told, remove_authorization=authz.remove_authorization)
        ending = asyncio.Event()
        names = (SESSION_SERVICE, ADMIN_SERVICE, *((AUTHORIZATION,) if authz.enabled else ()))
        self.health = Health(names, ending)
        streams = TokenStreams(check, backend.watches, ending)
        self.servicers = Servicers(
            check=check,
            session=SessionServicer(
                check=check,
                streams=streams,
                logins=logins,
                sessions=sessions,
                administration=administration,
                callers=callers,
            ),
            admin=AdminServicer(gate, administration, logins, sessions, backend.upkeep),
            health=self.health,
            authorization=for_envoy if authz.enabled else None,
            forward_auth=ForwardAuth(authorization, told) if authz.enabled else None,
        )

    def replace_ring(self, ring: KeyRing) -> None:
        """Sign and verify with other keys from now on, and let nobody go on by the former."""
        self._access.replace_ring(ring)
        self._refresh.replace_ring(ring)
        self._watches.end_all()


def make_metrics(registry: CollectorRegistry) -> Metrics:
    """The metrics of this process."""
    return Metrics(registry, METHODS)


def _common_passwords(config: Config) -> frozenset[str]:
    listed = config.passwords.common_list
    return load_common_passwords(listed) if listed else frozenset()
