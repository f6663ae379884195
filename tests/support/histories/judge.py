"""Whether a history keeps the promise; knows nothing of how it came to be.

The promise, of a check with bound s (0 is strict) that began at b and ended at e:

* **out means out**: not accepted if an end had been acknowledged before b - s. What is as good as an
  acknowledgement: an expiry has certainly passed, or another check was refused (a refusal is for good).
* **in means in**: not refused if the token's beginning was acknowledged before b and nothing that may have
  ended it began before e. An end without an answer may have been, at any time after its begin.
* **no old roles**: not accepted with roles whose replacement had been acknowledged before b - s.

A call that was not answered says nothing; one that was answered with nonsense breaks the promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from tests.support.histories.calls import Call, Effect, Outcome, is_within, session_of, user_of


@dataclass(frozen=True, slots=True)
class Violation:
    """A call that the promise rules out, and the call because of which it does."""

    why: str
    call: Call
    because: Call | None = None

    def account(self, start: float) -> str:
        """What happened, in milliseconds from ``start``."""
        lines = [self.why, told(self.call, start)]
        if self.because is not None:
            lines.append(told(self.because, start))
        return "\n    ".join(lines)


def told(call: Call, start: float) -> str:
    """A call on a line, in milliseconds from ``start``."""
    began, ended = (f"{(moment - start) * 1000:.1f}" for moment in (call.began, call.ended))
    bound = f" within {call.bound * 1000:g} ms" if call.effect is Effect.CHECK else ""
    version = "" if call.version is None else f" roles v{call.version}"
    detail = f" ({call.detail})" if call.detail else ""
    return f"{began}-{ended} {call.by}: {call.what} {call.name!r}{bound}: {call.outcome}{version}{detail}"


def judge(calls: Iterable[Call]) -> list[Violation]:
    """What in a history breaks the promise, in the order in which it began."""
    history = _History(sorted(calls, key=lambda call: call.began))
    found = (history.violation(call) for call in history.calls)
    return [violation for violation in found if violation is not None]


class _History:
    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self._ends = [call for call in calls if call.effect is Effect.END]
        self._made = {
            call.name: call
            for call in reversed(calls)
            if call.effect is Effect.MAKE and call.outcome is Outcome.DONE
        }
        # A session begins with the first of its tokens.
        self._begun = {session_of(name): call for name, call in self._made.items()}
        self._roles = [call for call in calls if call.effect is Effect.SET_ROLES]
        self._over: dict[str, tuple[float, Call | None]] = {}

    def violation(self, call: Call) -> Violation | None:
        if call.outcome is Outcome.BROKEN:
            return Violation("an answer that must never be given", call)
        if call.effect is not Effect.CHECK:
            return None
        if call.outcome is Outcome.DONE:
            return self._wrongly_accepted(call) or self._with_old_roles(call)
        if call.outcome is Outcome.REFUSED:
            return self._wrongly_refused(call)
        return None

    def _wrongly_accepted(self, check: Call) -> Violation | None:
        moment, because = self._surely_over(check.name)
        late = check.began - moment - check.bound
        if late <= 0:
            return None
        return Violation(f"accepted {late * 1000:.1f} ms too late", check, because)

    def _surely_over(self, name: str) -> tuple[float, Call | None]:
        """The first moment by which something that has been alive is known to be so no longer."""
        if name not in self._over:
            ends = (call for call in self._ends if self._surely_ends(call, name))
            refusals = (call for call in self.calls if _refuses(call, name))
            first = min((*ends, *refusals), key=lambda call: call.ended, default=None)
            self._over[name] = (inf, None) if first is None else (first.ended, first)
        return self._over[name]

    def _surely_ends(self, end: Call, name: str) -> bool:
        if end.outcome is not Outcome.DONE or not _concerns(end, name):
            return False
        begun = self._begun.get(session_of(name))
        return end.name == name or (begun is not None and begun.ended <= end.began)

    def _wrongly_refused(self, check: Call) -> Violation | None:
        made = self._made.get(check.name) or self._begun.get(check.name)
        if made is None or made.ended > check.began:
            return None
        if any(self._may_end(end, check.name) for end in self._ends if end.began <= check.ended):
            return None
        return Violation("refused though alive", check, made)

    def _may_end(self, end: Call, name: str) -> bool:
        # One that was not answered may be on its way for as long as it likes.
        at_last = inf if end.outcome is Outcome.UNKNOWN else end.ended
        begun = self._begun.get(session_of(name))
        return _concerns(end, name) and (end.name == name or begun is None or begun.began <= at_last)

    def _with_old_roles(self, check: Call) -> Violation | None:
        if check.version is None:
            return None
        of_user = [call for call in self._roles if call.name == user_of(check.name)]
        if any(call.version == check.version and call.outcome is not Outcome.DONE for call in of_user):
            return None  # whose change was not answered may be set at any time
        newer = (call for call in of_user if _replaced(call, check))
        because = next(newer, None)
        return None if because is None else Violation("accepted with old roles", check, because)


def _concerns(end: Call, name: str) -> bool:
    return is_within(name, end.name) and not (end.spares is not None and is_within(name, end.spares))


def _refuses(call: Call, name: str) -> bool:
    return call.effect is Effect.CHECK and call.outcome is Outcome.REFUSED and is_within(name, call.name)


def _replaced(change: Call, check: Call) -> bool:
    if change.outcome is not Outcome.DONE or change.version is None or check.version is None:
        return False
    return change.version > check.version and change.ended + check.bound < check.began
