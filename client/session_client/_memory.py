"""The answers that a verifier remembers: by token, to be used, and by id, to be dropped.

Each entry has its part in a bound of 1,024 bytes for a remembered token, of which the token itself takes
about 430. So an entry has no link to its token, and how recently it was used is a mark and not a place in
a list.
"""

from __future__ import annotations

from typing import Final

from session_client._results import Identity

# One search in so many of the entries makes room for as many answers: searching costs more than dropping.
_ROOM_SHARE: Final = 64


class Entry:
    """An answer: whose the token is, until when that holds, and when the service is to hear of its use."""

    __slots__ = ("id", "identity", "touch_at", "used", "valid_until")

    def __init__(self, number: int, identity: Identity, valid_until: float, touch_at: float) -> None:
        self.id = number
        self.identity = identity
        self.valid_until = valid_until
        self.touch_at = touch_at
        self.used = False


class Memory:
    """Entries by token; never more than ``capacity``, and then without those that were not used of late.

    ``entries`` may be read by any thread at any time; all else is for one thread at a time.

    Args:
        capacity: the most entries.
    """

    def __init__(self, capacity: int) -> None:
        self.entries: dict[str, Entry] = {}
        self._tokens: dict[int, str] = {}
        self._capacity = capacity

    def put(self, token: str, entry: Entry) -> list[int]:
        """Remember an answer in place of an earlier one for this token.

        Returns:
            The ids of the answers that had to go.
        """
        gone = self.drop(token)
        if len(self.entries) >= self._capacity:
            gone += self._make_room()
        self.entries[token] = entry
        self._tokens[entry.id] = token
        return gone

    def drop(self, token: str) -> list[int]:
        """Drop the entry of a token; returns its id, or nothing where there is none."""
        entry = self.entries.pop(token, None)
        if entry is None:
            return []
        del self._tokens[entry.id]
        return [entry.id]

    def drop_id(self, number: int) -> None:
        """Drop the entry of an id, if there is one."""
        token = self._tokens.pop(number, None)
        if token is not None:
            del self.entries[token]

    def clear(self) -> None:
        """Drop all entries."""
        self.entries.clear()
        self._tokens.clear()

    def _make_room(self) -> list[int]:
        """Drop the entries that were put in, or found used, the longest ago and have not been used since."""
        wanted = max(1, self._capacity // _ROOM_SHARE)
        used: list[str] = []
        unused: list[str] = []
        for token, entry in self.entries.items():
            (used if entry.used else unused).append(token)
            if len(unused) == wanted:
                break
        for token in used:
            entry = self.entries.pop(token)
            entry.used = False
            self.entries[token] = entry
        # Where all were used, those that come first go: no more is known of them.
        return [number for token in unused or used[:wanted] for number in self.drop(token)]
