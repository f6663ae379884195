"""Where Redis is and how to speak to it: values only, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from redis.asyncio.connection import SSLConnection, parse_url

from session_service.storage.renewing_tls import RenewingContext

Address = tuple[str, int]
"""Host and port."""

_URL_PARTS: Final = frozenset({"host", "port", "db", "username", "password", "path", "connection_class"})
_WAYS: Final = "redis: give one of url, unix_socket_path, sentinel and cluster, or host and port alone"


@dataclass(frozen=True, slots=True)
class RedisTls:
    """TLS to Redis, TLS 1.2 or later; the server's certificate is verified, always (ASVS 12.3.2).

    Args:
        ca_file: PEM file of the authorities to trust besides the system's.
        cert_file: this client's certificate, PEM, where Redis asks for one.
        key_file: its private key, PEM.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    context: RenewingContext = field(init=False, repr=False, compare=False)
    """Shared by all connections."""

    def __post_init__(self) -> None:
        """Make what follows the files."""
        context = RenewingContext(self.ca_file, self.cert_file, self.key_file)
        object.__setattr__(self, "context", context)


@dataclass(frozen=True, slots=True)
class RedisSentinel:
    """Sentinels to ask for the primary.

    Args:
        service: the name the Sentinels know the primary by.
        nodes: host and port of each Sentinel.
        username: ACL user of the Sentinels themselves, if any.
        password: its password.
    """

    service: str
    nodes: tuple[Address, ...]
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """One Redis: standalone, behind Sentinel, or a cluster. Time-outs in seconds.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; what it says goes before the fields after it.
        host: where Redis is.
        port: its port.
        db: number of the database; 0 in a cluster.
        username: ACL user; empty is ``default``.
        password: its password.
        unix_socket_path: connect there instead of host and port.
        sentinel: ask these for the primary.
        cluster: host and port of some nodes of a Redis Cluster.
        tls: encrypt; ``None`` does not, except with a ``rediss://`` URL.
        max_connections: per process, for changes that replicas acknowledge and all changes in a cluster.
            Checks share one more, in a cluster one for each primary; other changes share one, too.
        connect_timeout: for opening and greeting; also how long a change waits for a free connection.
        command_timeout: for one command's answer.
        wait_replicas: replicas that must have a change before it counts as done.
    """

    url: str = field(default="", repr=False)
    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    unix_socket_path: str = ""
    sentinel: RedisSentinel | None = None
    cluster: tuple[Address, ...] = ()
    tls: RedisTls | None = None
    max_connections: int = 10
    connect_timeout: float = 0.25
    command_timeout: float = 1.0
    wait_replicas: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions.

        Raises:
            ValueError: naming the fields at fault.
        """
        if sum(map(bool, (self.url, self.unix_socket_path, self.sentinel, self.cluster))) > 1:
            raise ValueError(_WAYS)
        if self.cluster and self.db:
            raise ValueError("redis: a cluster has database 0 only")
        if self.max_connections < 1:
            raise ValueError("redis: max_connections must be at least 1")
        if min(self.connect_timeout, self.command_timeout) <= 0:
            raise ValueError("redis: connect_timeout and command_timeout must be above 0")

    def resolved(self) -> RedisSettings:
        """The same with the URL taken apart.

        Raises:
            ValueError: it is no URL of Redis; the message does not repeat it.
        """
        if not self.url:
            return self
        parts = _parse_url(self.url)
        tls = self.tls
        if parts.pop("connection_class", None) is SSLConnection:
            tls = tls or RedisTls()
        return replace(self, url="", tls=tls, unix_socket_path=parts.pop("path", ""), **parts)


def _parse_url(url: str) -> dict[str, Any]:
    try:
        parts = dict(parse_url(url))
    except ValueError:
        raise ValueError("redis: url must be redis://, rediss:// or unix://") from None
    unknown = parts.keys() - _URL_PARTS
    if unknown:
        raise ValueError(f"redis: url must not carry {', '.join(sorted(unknown))}; configure it by name")
    return parts
