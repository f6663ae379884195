"""What a configuration value may be, beyond the plain types."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from session_service.domain import public_paths
from session_service.domain.credentials import Credentials

_T = TypeVar("_T")
_MAX_PORT = 65_535
# What the API's spans and gRPC's options hold; the latter count spans in milliseconds.
MAX_INT32 = 2**31 - 1
_MAX_SECONDS = MAX_INT32 // 1000
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
# Which browsers leave out of an origin.
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Section(BaseModel):
    """A group of keys: immutable, unknown keys refused, values kept out of error texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HostPort(NamedTuple):
    """A network address; ``str()`` puts IPv6 hosts in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _read_host_port(value: object) -> object:
    if isinstance(value, HostPort):
        return value
    host, _, port = str(value).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not port.isdecimal() or int(port) > _MAX_PORT:
        raise ValueError("must be host:port, an IPv6 host in brackets")
    return HostPort(bare, int(port))


def _read_listen(value: str) -> str:
    if value.startswith("unix:") and value != "unix:":
        return value
    return str(_read_host_port(value))


def _read_origin(value: str) -> str:
    """An origin as browsers write it (RFC 6454 §6.2)."""
    found = _ORIGIN.fullmatch(value.lower())
    if found is None or int(found[3] or 0) > _MAX_PORT:
        raise ValueError("must be an origin, scheme://host or scheme://host:port: no path, no *")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in {None, _DEFAULT_PORTS.get(scheme)} else f"{scheme}://{host}:{port}"


def _read_header_name(value: str) -> str:
    """A field name (RFC 9110 §5.1), in lower case as requests are compared."""
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("must be the name of a header field")
    return value.lower()


def _read_network(value: object) -> object:
    """Read here, since pydantic names both of its attempts in the key of an error."""
    try:
        return value if isinstance(value, IPv4Network | IPv6Network) else ip_network(str(value))
    except ValueError:
        raise ValueError("must be a network, such as 10.0.0.0/8 or fd00::/8, or an address") from None


def _read_items(value: object) -> object:
    """A list as it is, or from one text: JSON, or items between commas (for the environment)."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    try:
        parsed: Any = json.loads(value)
    except ValueError:
        raise ValueError("must be a JSON list, or items separated by commas") from None
    return parsed


def _read_cookie_name(value: str) -> str:
    Credentials(value)
    return value


def _read_public_path(value: str) -> str:
    if wrong := public_paths.problem(value):
        raise ValueError(wrong)
    return value


Listen = Annotated[str, AfterValidator(_read_listen)]
Origin = Annotated[str, AfterValidator(_read_origin)]
HeaderName = Annotated[str, AfterValidator(_read_header_name)]
Address = Annotated[HostPort, BeforeValidator(_read_host_port)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_read_network)]
CookieName = Annotated[str, AfterValidator(_read_cookie_name)]
PublicPath = Annotated[str, AfterValidator(_read_public_path)]
Items = Annotated[tuple[_T, ...], BeforeValidator(_read_items)]
Port = Annotated[int, Field(ge=1, le=_MAX_PORT)]
Positive = Annotated[int, Field(ge=1, le=MAX_INT32)]
Count = Annotated[int, Field(ge=0, le=MAX_INT32)]
Seconds = Annotated[float, Field(gt=0, le=_MAX_SECONDS, allow_inf_nan=False)]
