"""The sections of the configuration, each key with its default, limits and meaning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from session_service.config.fields import (
    MAX_INT32,
    Address,
    CookieName,
    Count,
    HeaderName,
    Items,
    Listen,
    Network,
    Origin,
    Positive,
    PublicPath,
    Seconds,
    Section,
)
from session_service.config.redis import RedisSection
from session_service.domain.models import OnLimit, SessionPolicy
from session_service.domain.policy import MAX_SESSIONS_LIMIT
from session_service.domain.service_keys import ServiceKey
from session_service.domain.throttling import ThrottlePolicy


class SessionSection(Section):
    """How long sessions live, and how many a user may have."""

    default_session_expire: Positive = Field(default=86_400, description="seconds a session lives at most")
    token_expire: Positive = Field(default=1_800, description="seconds an access token lives")
    idle_timeout: Count = Field(default=0, description="seconds without use that end a session; 0 = never")
    touch_interval: Positive = Field(
        default=60, description="seconds between two writes of a session's activity"
    )
    refresh_grace: Count = Field(
        default=10, description="seconds in which a spent refresh token gets the same successor once more"
    )
    max_sessions: Annotated[int, Field(ge=0, le=MAX_SESSIONS_LIMIT)] = Field(
        default=0, description="live sessions per user; 0 = no limit"
    )
    on_limit: OnLimit = Field(default=OnLimit.EVICT_OLDEST, description="what a login over the limit does")

    def policy(self) -> SessionPolicy:
        """The section as the domain's value."""
        return SessionPolicy(
            session_expire=self.default_session_expire,
            token_expire=self.token_expire,
            idle_timeout=self.idle_timeout,
            touch_interval=self.touch_interval,
            refresh_grace=self.refresh_grace,
            max_sessions=self.max_sessions,
            on_limit=self.on_limit,
        )


class TokensSection(Section):
    """Who signs tokens, and for whom."""

    issuer: str = Field(default="session-service", min_length=1, description="claim `iss` of access tokens")
    audience: str = Field(default="session-service", min_length=1, description="claim `aud` of access tokens")
    key_file: Path | None = Field(default=None, description="the key ring; read again on SIGHUP")


class PasswordsSection(Section):
    """Which passwords are taken, and how many are hashed at a time."""

    common_list: Path | None = Field(
        default=None, description="text file of passwords to refuse, one a line; none = none is refused"
    )
    hashing_threads: Count = Field(
        default=0, description="hashes at a time per worker; 0 = all cores but one, shared"
    )
    hashing_queue: Count = Field(
        default=64, description="logins per worker that may wait for a hash; more are shed"
    )


class ThrottlingSection(Section):
    """How many failed logins are let through per window."""

    per_account_and_address: Positive = Field(default=10, description="for one account from one address")
    per_address: Positive = Field(default=100, description="from one address, whatever the account")
    per_account: Positive = Field(default=100, description="for one account, from devices new to it")
    window: Positive = Field(default=900, description="seconds until a counter starts afresh")

    def policy(self) -> ThrottlePolicy:
        """The section as the domain's value."""
        return ThrottlePolicy(
            per_account_and_address=self.per_account_and_address,
            per_address=self.per_address,
            per_account=self.per_account,
            window=self.window,
        )


class Engine(StrEnum):
    """What carries the calls."""

    AUTO = "auto"
    NATIVE = "native"
    GRPC_AIO = "grpc-aio"


class ServerTlsSection(Section):
    """TLS to callers; being there turns it on."""

    cert_file: Path = Field(description="PEM certificate chain of the server")
    key_file: Path = Field(description="PEM key of `cert_file`")
    client_ca_file: Path | None = Field(
        default=None, description="PEM bundle that client certificates are checked by"
    )
    require_client_certificate: bool = Field(
        default=False, description="whether a caller without a certificate is turned away (mutual TLS)"
    )


class ServerSection(Section):
    """Where to listen, and the limits of one worker."""

    listen: Listen = Field(default="127.0.0.1:50051", description="host:port or unix:path to serve on")
    http_listen: Listen | None = Field(
        default=None,
        description="host:port or unix:path where grpc-aio has plain HTTP served; none = nowhere",
    )
    engine: Engine = Field(
        default=Engine.AUTO,
        description="what carries the calls: native or grpc-aio; auto = native where it is installed",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="processes that share the port"
    )
    tls: ServerTlsSection | None = Field(default=None, description="TLS to callers")
    max_concurrent_rpcs: Positive = Field(
        default=1_000, description="calls in flight; more get RESOURCE_EXHAUSTED"
    )
    max_concurrent_streams: Positive = Field(default=200, description="calls in flight on one connection")
    max_message_bytes: Annotated[int, Field(ge=8_192, le=MAX_INT32)] = Field(
        default=65_536, description="size of a request; one of BatchVerifyTokens may have four times that"
    )
    max_metadata_bytes: Annotated[int, Field(ge=1_024, le=MAX_INT32)] = Field(
        default=16_384, description="size of a call's metadata"
    )
    max_connection_age: Seconds = Field(
        default=600.0,
        description="seconds after which a connection is renewed, so that load spreads over new replicas",
    )
    max_connection_age_grace: Seconds = Field(
        default=30.0, description="seconds its last calls have to finish"
    )
    handshake_timeout: Seconds = Field(
        default=10.0, description="seconds a connection may take for its handshake"
    )
    drain_delay: Seconds = Field(
        default=5.0,
        description="seconds after SIGTERM in which calls are still taken, at most: it ends when none come",
    )
    shutdown_grace: Seconds = Field(
        default=20.0, description="seconds that calls in flight have to finish after that"
    )
    trusted_proxies: Items[Network] = Field(
        default=(), description="networks whose x-forwarded-for is believed"
    )
    cors_origins: Items[Origin] = Field(
        default=(),
        description="origins, scheme://host[:port], whose pages may call from a browser",
    )
    cors_headers: Items[HeaderName] = Field(
        default=(),
        description="header fields that those pages may send besides what the service and tracing need",
    )
    reflection: bool = Field(
        default=False, description="whether gRPC reflection is served; --dev turns it on"
    )


class ServiceKeySection(Section):
    """One service key, as `session-service keys service` prints it."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="who holds it; shows in the audit trail")
    digest: Annotated[str, StringConstraints(to_lower=True)] = Field(
        pattern=r"^[0-9A-Fa-f]{64}$", repr=False, description="SHA-256 of the key, in hex"
    )
    roles: Items[str] = Field(min_length=1, description="what it may do: `admin`")


class AdminSection(Section):
    """Who may call the AdminService, besides users with the role admin."""

    service_keys: Items[ServiceKeySection] = Field(
        default=(), description="service keys; none = none is accepted"
    )

    def keys(self) -> tuple[ServiceKey, ...]:
        """The section as the domain's values."""
        return tuple(ServiceKey(key.name, key.digest, key.roles) for key in self.service_keys)


class AuthzSection(Section):
    """Deciding for gateways which requests they let through."""

    enabled: bool = Field(
        default=False,
        description="whether Envoy's ext_authz and the forward-auth of other gateways are answered",
    )
    cookie: CookieName | None = Field(
        default=None, description="cookie that may carry the access token; none = only the header may"
    )
    public_paths: Items[PublicPath] = Field(
        default=(), description="paths that need no token: `/login`, or `/static/*` for all below `/static/`"
    )
    remove_authorization: bool = Field(
        default=False,
        description="whether Envoy takes the header with the token off before the server behind it",
    )


class MetricsSection(Section):
    """Prometheus metrics."""

    listen: Address | None = Field(default=None, description="host:port to serve /metrics on; none = off")


class AuditSection(Section):
    """The audit trail, the stream `session_events`."""

    stream_length: Positive = Field(default=100_000, description="events kept, about")
    buffer: Positive = Field(
        default=10_000, description="events a worker holds while Redis is away; more leave a counted gap"
    )


class LoggingSection(Section):
    """The server's own log, on standard error."""

    format: Literal["json", "console"] = Field(default="json", description="how a line is written")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level written"
    )


class SweepSection(Section):
    """The background task that drops index entries whose session has expired."""

    interval: Seconds = Field(default=300.0, description="seconds between two sweeps")


class Config(Section):
    """The whole configuration."""

    redis: RedisSection = RedisSection()
    session: SessionSection = SessionSection()
    tokens: TokensSection = TokensSection()
    passwords: PasswordsSection = PasswordsSection()
    throttling: ThrottlingSection = ThrottlingSection()
    server: ServerSection = ServerSection()
    admin: AdminSection = AdminSection()
    authz: AuthzSection = AuthzSection()
    metrics: MetricsSection = MetricsSection()
    audit: AuditSection = AuditSection()
    logging: LoggingSection = LoggingSection()
    sweep: SweepSection = SweepSection()
