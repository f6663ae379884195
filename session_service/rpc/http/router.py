"""Finds what a path stands for: looks up a path without variables, compares others by their segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Resource(Generic[_T]):
    """A path and what each method of HTTP does there.

    Args:
        by_verb: with HEAD wherever there is GET.
    """

    by_verb: dict[str, _T] = field(default_factory=dict)

    @property
    def verbs(self) -> tuple[str, ...]:
        """What the path takes, in order."""
        return tuple(sorted(self.by_verb))


@dataclass(frozen=True, slots=True)
class _Pattern(Generic[_T]):
    """A path with variables.

    Args:
        segments: of the path; ``None`` = a variable.
        ending: what the last one ends with: ``:setPassword``, or nothing.
        resource: what is there.
    """

    segments: tuple[str | None, ...]
    ending: str
    resource: Resource[_T]

    def values(self, segments: list[str]) -> tuple[str, ...] | None:
        """The variables' values, as sent, empty ones too; ``None`` if this is another path."""
        last = segments[-1]
        if self.ending:
            if not last.endswith(self.ending):
                return None
            segments = [*segments[:-1], last.removesuffix(self.ending)]
        found = []
        for expected, segment in zip(self.segments, segments, strict=True):
            if expected is None:
                found.append(segment)
            elif expected != segment:
                return None
        return tuple(found)


class Router(Generic[_T]):
    """All paths.

    Args:
        entries: method of HTTP, template, and what is there.
    """

    def __init__(self, entries: Iterable[tuple[str, str, _T]]) -> None:
        self._literal: dict[str, Resource[_T]] = {}
        self._patterns: dict[int, list[_Pattern[_T]]] = {}
        shapes: dict[tuple[tuple[str | None, ...], str], Resource[_T]] = {}
        for verb, template, target in entries:
            if "{" not in template:
                resource = self._literal.setdefault(template, Resource())
            else:
                shape = _shape(template)
                resource = shapes.setdefault(shape, Resource())
            resource.by_verb[verb] = target
            if verb == "GET":
                resource.by_verb["HEAD"] = target
        for (segments, ending), resource in shapes.items():
            self._patterns.setdefault(len(segments), []).append(_Pattern(segments, ending, resource))
        for patterns in self._patterns.values():
            # A path that ends as one of them is of that one, whichever method of HTTP comes with it.
            patterns.sort(key=lambda pattern: not pattern.ending)

    def find(self, path: str) -> tuple[Resource[_T], tuple[str, ...]] | None:
        """What is at a path, with the values of its variables as sent.

        Args:
            path: as sent. Percent signs are not decoded: an encoded slash is no separator, and an encoded
                letter makes another path.
        """
        literal = self._literal.get(path)
        if literal is not None:
            return literal, ()
        segments = path.split("/")
        for pattern in self._patterns.get(len(segments), ()):
            values = pattern.values(segments)
            if values is not None:
                return (pattern.resource, values) if all(values) else None
        return None


def variables(template: str) -> tuple[str, ...]:
    """The names of a template's variables, in order."""
    return tuple(part.partition("}")[0] for part in template.split("{")[1:])


def _shape(template: str) -> tuple[tuple[str | None, ...], str]:
    path, colon, verb = template.partition(":")
    segments = tuple(None if part.startswith("{") else part for part in path.split("/"))
    return segments, colon + verb
