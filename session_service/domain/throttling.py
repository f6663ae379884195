"""Slows a password guesser without letting him lock the owner out (ASVS 6.3.1).

Three counters, each in a fixed window, taken *before* the password is hashed so that parallel
guesses cannot pass, and given back when the password was right:

* account and place: a guesser at one address, or in one session whose token was stolen;
* address: one place trying many accounts (password spraying);
* account: many places trying one account. A device that has logged in to the account before
  is not held to this one, so a distributed guesser cannot keep the owner out.

An IPv6 address counts as its network of 64 bits, which is what one subscriber has at least (RFC 6177).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from session_service.domain.errors import TooManyAttempts
from session_service.domain.ports import AttemptStore, Counter

_IPV6_SUBSCRIBER_BITS = 64


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """How many failed attempts each counter allows per window.

    Args:
        per_account_and_address: attempts for one account from one address.
        per_address: attempts from one address for whatever accounts.
        per_account: attempts for one account from unknown devices anywhere.
        window: seconds.
    """

    per_account_and_address: int = 10
    per_address: int = 100
    per_account: int = 100
    window: int = 900


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """Who is tried from where.

    Args:
        username: normalised.
        ip_address: the true client address, or empty where it is not known.
        known_device: the account has been logged in to from this device before.
        session_id: the session in which the password is asked for once more; empty at a login.
            It has a counter of its own, so that a stolen token is no way to guess from everywhere.
    """

    username: str
    ip_address: str
    known_device: bool = False
    session_id: str = ""


class LoginThrottle:
    """Counts login attempts against a policy."""

    def __init__(self, attempts: AttemptStore, policy: ThrottlePolicy) -> None:
        self._attempts = attempts
        self._policy = policy

    async def take(self, attempt: LoginAttempt) -> None:
        """Count the attempt on each counter it falls under, up to the first that is full.

        The narrowest comes first: one place uses up its own counter long before the account's.

        Raises:
            TooManyAttempts: with the time until that counter's window ends.
        """
        wait_ms = await self._attempts.take(self._counters(attempt), self._policy.window)
        if wait_ms:
            raise TooManyAttempts(retry_after=wait_ms / 1000)

    async def succeeded(self, attempt: LoginAttempt) -> None:
        """Give the attempt back: the password was right, and the owner starts afresh."""
        await self._attempts.give_back(self._counters(attempt), clear_first=True)

    async def give_back(self, attempt: LoginAttempt) -> None:
        """Uncount an attempt whose password was never looked at."""
        await self._attempts.give_back(self._counters(attempt))

    def _counters(self, attempt: LoginAttempt) -> list[Counter]:
        policy = self._policy
        network = _network(attempt.ip_address)
        place = attempt.session_id or f"{network}\0{attempt.known_device}"
        pair = f"{attempt.username}\0{place}"
        counters = [Counter("account_address", pair, policy.per_account_and_address)]
        if network:
            counters.append(Counter("address", network, policy.per_address))
        if not (attempt.known_device or attempt.session_id):
            counters.append(Counter("account", attempt.username, policy.per_account))
        return counters


@lru_cache(maxsize=4_096)
def _network(address: str) -> str:
    """Where an address is, in one spelling: the IPv4 address, the IPv6 network; empty stays empty."""
    if not address:
        return ""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_SUBSCRIBER_BITS), strict=False))
