# ruff: noqa: INP001 - scripts, not a package
"""Reads gateway.yaml and puts other addresses into it: one file to deploy, to try and to test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FILE: Final = Path(__file__).with_name("gateway.yaml")
GATEWAY: Final = 10_000
ADMIN: Final = 9_901
SERVICE: Final = 50_051
UPSTREAM: Final = 10_080


def read(addresses: Mapping[int, str]) -> dict[str, Any]:
    """The configuration, for Envoy once it is dumped as YAML or JSON again.

    Args:
        addresses: by the port that a socket has in the file, the ``host:port`` that it gets.

    Raises:
        KeyError: the file has no socket of that port.
    """
    configuration: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    sockets = {socket["port_value"]: socket for socket in _sockets(configuration)}
    for port, address in addresses.items():
        host, _, new = address.rpartition(":")
        sockets[port] |= {"address": host, "port_value": int(new)}
    return configuration


def _sockets(node: object) -> Iterator[dict[str, Any]]:
    """Every ``socket_address`` below a node."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from [value] if name == "socket_address" else _sockets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _sockets(value)
