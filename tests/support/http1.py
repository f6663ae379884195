"""An HTTP/1.1 client without manners: it sends a target and headers as they are and as often as told."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_TIMEOUT: Final = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason in a ``google.rpc.Status`` in JSON."""
        [info] = self.json()["details"]
        return str(info["reason"])


def exchange(
    address: str, target: str = "/", headers: Sequence[tuple[str, str]] = (), *, method: str = "GET"
) -> Answer:
    """Send one request on a connection of its own and read the answer.

    Args:
        address: host:port.
        target: the path with its query, in Latin-1; nothing is encoded or put in order.
        headers: besides ``host`` and ``connection``, in this order.
        method: of a request without a body.

    Raises:
        OSError: nobody listens, or the connection ended without an answer.
    """
    host, _, port = address.rpartition(":")
    lines = [f"{method} {target} HTTP/1.1", f"host: {address}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection((host, int(port)), _TIMEOUT) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            response.close()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
