"""The section ``redis``: where the sessions are kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from session_service.config.fields import Address, Count, Items, Port, Positive, Seconds, Section


class SentinelSection(Section):
    """Redis behind Sentinel."""

    service: str = Field(description="name of the primary that the Sentinels watch")
    nodes: Items[Address] = Field(min_length=1, description="the Sentinels, as host:port")
    username: str | None = Field(default=None, description="ACL user at the Sentinels")
    password: SecretStr | None = Field(default=None, description="password at the Sentinels")


class ClusterSection(Section):
    """A Redis Cluster."""

    nodes: Items[Address] = Field(min_length=1, description="some of its nodes, as host:port")


class RedisTlsSection(Section):
    """TLS to Redis; being there turns it on."""

    ca_file: Path | None = Field(default=None, description="PEM bundle to trust besides the system's")
    cert_file: Path | None = Field(default=None, description="PEM client certificate, for mutual TLS")
    key_file: Path | None = Field(default=None, description="PEM key of `cert_file`")


class RedisSection(Section):
    """Which Redis, and how long to wait for it."""

    host: str = Field(default="localhost", description="host of a single Redis or Valkey, 6.2 or later")
    port: Port = Field(default=6379, description="its port")
    db: Count = Field(default=0, description="its database number; a cluster has only 0")
    username: str | None = Field(default=None, description="ACL user")
    password: SecretStr | None = Field(default=None, description="its password")
    unix_socket: Path | None = Field(default=None, description="unix socket instead of `host` and `port`")
    url: SecretStr | None = Field(
        default=None, description="redis://, rediss:// or unix:// URL instead of all above"
    )
    sentinel: SentinelSection | None = Field(default=None, description="the primary that Sentinel names")
    cluster: ClusterSection | None = Field(default=None, description="a Redis Cluster")
    embedded: bool = Field(
        default=False, description="a redis-server as a child process, data kept in `data_dir`"
    )
    data_dir: Path = Field(default=Path(".session-service"), description="where `embedded` keeps its data")
    tls: RedisTlsSection | None = Field(default=None, description="TLS to Redis")
    max_connections: Positive = Field(
        default=10,
        description="connections per worker for changes that replicas acknowledge, or in a cluster",
    )
    connect_timeout: Seconds = Field(default=0.25, description="seconds to open a connection")
    command_timeout: Seconds = Field(default=1.0, description="seconds to wait for an answer")
    wait_replicas: Count = Field(
        default=0, description="replicas that must have a change before it is acknowledged; 0 = do not wait"
    )

    def places(self) -> tuple[str, ...]:
        """The keys set by the user that say where Redis is; at most one makes sense."""
        ways = ("url", "host", "unix_socket", "sentinel", "cluster", "embedded")
        return tuple(way for way in ways if way in self.model_fields_set and getattr(self, way))
