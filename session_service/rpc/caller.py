"""Who is calling, from the metadata and the peer of a call."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc

from session_service.domain.credentials import bearer
from session_service.domain.errors import TokenInvalid, TokenMissing
from session_service.domain.service_keys import ServiceKey, ServiceKeys

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Context = grpc.aio.ServicerContext[Any, Any]

AUTHORIZATION = "authorization"
_SERVICE_KEY = "x-service-key"
_FORWARDED_FOR = "x-forwarded-for"
# IPv6 with an embedded IPv4 address has 45 characters, a zone 15 more and its mark.
_LONGEST_ADDRESS = 64


def bearer_token(context: Context) -> str:
    """The access token in metadata ``authorization: Bearer <token>`` (RFC 6750 §2.1).

    Raises:
        TokenMissing: there is no such metadata.
        TokenInvalid: there are two, or another scheme.
    """
    return bearer_of(list(metadata_values(context, AUTHORIZATION)))


def bearer_of(values: Sequence[str]) -> str:
    """The access token in a call's values of ``authorization``; raises as ``bearer_token``."""
    if not values:
        raise TokenMissing
    if len(values) > 1:
        raise TokenInvalid
    return bearer(values[0])


def metadata_values(context: Context, key: str) -> Iterator[str]:
    """The values that a call's metadata has under a key, in order."""
    for name, value in context.invocation_metadata() or ():
        if name == key:
            yield value if isinstance(value, str) else value.decode("latin-1")


class Callers:
    """Tells service keys and true client addresses.

    Args:
        service_keys: the digests of the keys of trusted services and operators.
        trusted_proxies: networks whose ``x-forwarded-for`` is believed (ASVS 15.3.4).
    """

    def __init__(self, service_keys: ServiceKeys, trusted_proxies: Sequence[Network]) -> None:
        self._service_keys = service_keys
        self._trusted_proxies = tuple(trusted_proxies)

    def presents_service_key(self, context: Context) -> bool:
        """Whether the call carries a service key, good or bad."""
        return any(True for _ in metadata_values(context, _SERVICE_KEY))

    def service(self, context: Context) -> ServiceKey | None:
        """The service whose key the call carries, if it is a known one."""
        values = list(metadata_values(context, _SERVICE_KEY))
        return self._service_keys.identify(values[0]) if len(values) == 1 else None

    def ip_address(self, context: Context) -> str:
        """The client's address: the peer's, or what trusted proxies say it is; may be empty.

        Of ``x-forwarded-for`` the rightmost address that is not a trusted proxy counts: what
        stands left of it was written by whoever is not trusted.
        """
        address = _peer_address(context.peer())
        if not self._is_trusted(address):
            return address
        forwarded = ",".join(metadata_values(context, _FORWARDED_FOR))
        for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not _is_address(hop):
                break
            address = hop
            if not self._is_trusted(hop):
                break
        return address

    def login_address(self, context: Context, declared: str) -> str:
        """The address a login comes from.

        A trusted service logs its users in through its own connection: its word on where they
        are counts, and where it says nothing the address is not known.
        """
        if self.service(context) is not None:
            return declared
        return self.ip_address(context)

    def _is_trusted(self, address: str) -> bool:
        if not address or not self._trusted_proxies:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._trusted_proxies)


def _peer_address(peer: str) -> str:
    """The address in gRPC's ``ipv4:1.2.3.4:5``, ``ipv6:%5B::1%5D:5`` or ``unix:``."""
    family, _, rest = unquote(peer).partition(":")
    if family not in {"ipv4", "ipv6"}:
        return ""
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    return host if _is_address(host) else ""


def _is_address(value: str) -> bool:
    return len(value) <= _LONGEST_ADDRESS and _reads_as_address(value)


@lru_cache(maxsize=4_096)
def _reads_as_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
