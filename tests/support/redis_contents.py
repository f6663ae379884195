"""What a Redis of the service holds, looked at behind the service's back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from session_service.storage import keys

Client = Any
"""A ``redis.Redis``, whose annotations promise either of two things for nearly every answer."""

Place = tuple[str, str]
"""A user id and a session id."""

_READ: Final[dict[bytes, Callable[[Client, bytes], Any]]] = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"stream": lambda client, key: client.xrange(key),
}


def all_strings(client: Client) -> set[str]:
    """Every key, field and value; a type not known here is an error."""
    found = set()
    for key in client.scan_iter():
        found |= {key.decode(), *_strings(_READ[client.type(key)](client, key))}
    return found


def live_sessions(client: Client) -> set[Place]:
    """Every session there is."""
    return {_place(key) for key in client.scan_iter(keys.ANY_SESSION)}


def indexed_sessions(client: Client) -> set[Place]:
    """Every entry of every user's index."""
    found = set()
    for key in client.scan_iter(keys.ANY_SESSION_INDEX):
        user_id = keys.owner(key.decode())
        found |= {(user_id, member.decode()) for member in client.zrange(key, 0, -1)}
    return found


def events(client: Client) -> list[dict[str, str]]:
    """The audit trail in order, each event as its fields."""
    return [
        {name.decode(): value.decode() for name, value in fields.items()}
        for _, fields in client.xrange(keys.AUDIT_STREAM)
    ]


def counted(client: Client) -> Counter[str]:
    """How many events of each action there are."""
    return Counter(event["action"] for event in events(client))


def _place(key: bytes) -> Place:
    text = key.decode()
    return keys.owner(text), keys.last_part(text)


def _strings(value: Any) -> set[str]:
    if isinstance(value, bytes):
        return {value.decode(errors="backslashreplace")}  # a deflated device is no text
    if isinstance(value, dict):
        return _strings([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return set().union(*map(_strings, value))
    return {str(value)}
