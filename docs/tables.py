# ruff: noqa: INP001 - a script, not a package
"""Writes the tables of the manual from what they describe.

Run by ``make docs``. Between ``<!-- table: NAME -->`` and ``<!-- end -->`` of a page stands what the
function of that name below makes of the code: the configuration, the RPCs and errors of the contract,
the metrics, the commands. A test makes them again and compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import google.api.annotations_pb2  # noqa: F401 - teaches protobuf the option google.api.http
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from session_service.app import make_metrics
from session_service.cli import main as command_line
from session_service.config import config_reference

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", ROOT / "docs" / "operations.md")

_PLACE: Final = re.compile(r"(?<=<!-- table: )(\S+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_SERVICE: Final = 6  # numbers of fields in a FileDescriptorProto: where a comment belongs to
_METHOD: Final = 2
_ENUM: Final = 5
_VALUE: Final = 2


def main() -> None:
    """Write all tables into their pages."""
    for page in PAGES:
        page.write_text(with_tables(page.read_text("utf-8")), "utf-8")


def with_tables(text: str) -> str:
    """A page's text with its tables as they have to be.

    Raises:
        KeyError: a place names a table that there is not.
    """
    return _PLACE.sub(lambda place: place[1] + place[2] + TABLES[place[1]](), text)


def configuration() -> str:
    """Every key of the configuration."""
    rows = (
        (f"`{each.key}`", each.kind, f"`{each.default}`" if each.default else "required", each.description)
        for each in config_reference()
    )
    return _table(("key", "value", "default", "what it does"), rows)


def session_rpcs() -> str:
    """The RPCs of SessionService."""
    return _rpcs("SessionService")


def admin_rpcs() -> str:
    """The RPCs of AdminService."""
    return _rpcs("AdminService")


def errors() -> str:
    """The reasons of failed calls."""
    file = next(file for file in _files() if file.enum_type)
    prefix = "ERROR_REASON_"
    rows = []
    for number, value in enumerate(file.enum_type[0].value):
        code, _, told = _comment(file, _ENUM, 0, _VALUE, number).partition(". ")
        if value.number:
            codes = re.sub(r"\b([A-Z]+(_[A-Z]+)*)\b", r"`\1`", code)
            rows.append((f"`{value.name.removeprefix(prefix)}`", codes, told))
    return _table(("reason", "status code", "what it means, what to do"), rows)


def metrics() -> str:
    """Every metric."""
    registry = CollectorRegistry()
    make_metrics(registry)
    rows = (
        (f"`{each.name}{'_total' if each.type == 'counter' else ''}`", each.type, each.documentation)
        for each in registry.collect()
    )
    return _table(("metric", "kind", "what it says"), rows)


def commands() -> str:
    """Every command of the command line."""
    rows = ((f"`{name}`", command.get_short_help_str(limit=120)) for name, command in _commands(command_line))
    return _table(("command", "what it does"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "configuration": configuration,
    "session-rpcs": session_rpcs,
    "admin-rpcs": admin_rpcs,
    "errors": errors,
    "metrics": metrics,
    "commands": commands,
}


def _commands(group: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield " ".join(path), group
        return
    context = click.Context(group)
    for name in group.commands or group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield from _commands(command, *path, name)


def _rpcs(service: str) -> str:
    return _table(("RPC", "what it does", "HTTP path"), _rpc_rows(service))


def _rpc_rows(service: str) -> Iterator[tuple[str, str, str]]:
    for file in _files():
        for number, found in enumerate(file.service):
            if found.name == service:
                for place, method in enumerate(found.method):
                    comment = _comment(file, _SERVICE, number, _METHOD, place)
                    yield f"`{method.name}`", _first_sentence(comment), _paths(method)


def _paths(method: MethodDescriptorProto) -> str:
    rule: dict[str, Any] = MessageToDict(method.options).get("[google.api.http]", {})
    rules = [rule, *rule.get("additionalBindings", ())]
    paths = (
        f"`{verb.upper()} {each[verb]}`"
        for each in rules
        for verb in ("get", "post", "delete")
        if verb in each
    )
    return "<br>".join(paths)


def _files() -> list[FileDescriptorProto]:
    bundle = (ROOT / "session_service" / "rpc" / "session.binpb").read_bytes()
    files = FileDescriptorSet.FromString(bundle).file
    return [file for file in files if file.package == "session.v1"]


def _comment(file: FileDescriptorProto, *path: int) -> str:
    comments = (each.leading_comments for each in file.source_code_info.location if (*each.path,) == path)
    return " ".join(next(comments).split())


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) (?=[A-Z])", text)[0]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
