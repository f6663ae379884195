"""One HTTP path of one method: a request becomes the method's message, and its outcome a response.

The path outranks the rest: neither a body nor a query can set what the path sets, so whoever decided by the
path before the service, decided right. A query only says which page is wanted: anything else would be in the
logs of all that lies between.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from google.protobuf.message import Message

from session_service.domain.errors import FieldViolation, InvalidArgument
from session_service.rpc.http.bindings import Binding
from session_service.rpc.http.json_reader import JsonReader
from session_service.rpc.http.json_writer import JsonWriter
from session_service.rpc.http.router import variables
from session_service.rpc.http.values import HttpRequest, HttpResponse

_PAGE: Final = {
    "page_size": "page_size",
    "pageSize": "page_size",
    "page_token": "page_token",
    "pageToken": "page_token",
}
_MOST_IN_QUERY: Final = 8
_BAD_QUERY: Final = FieldViolation(
    "query",
    "may hold page_size and page_token, once each, of a GET that lists; the rest belongs into path or body",
)
_HALF_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!-~]")
_JSON: Final = (("content-type", "application/json"),)


class RestMethod:
    """Between HTTP and the messages of one method, for one of its paths.

    Args:
        binding: the path.
        request_type: the message that the method takes.
        reader: reads it.
        writer: writes the message that the method answers with.
    """

    def __init__(
        self, binding: Binding, request_type: type[Message], reader: JsonReader, writer: JsonWriter
    ) -> None:
        self.method = binding.method
        self._has_body = binding.has_body
        self._variables = variables(binding.template)
        self._request_type = request_type
        self._reader = reader
        self._write = writer.write
        fields = request_type.DESCRIPTOR.fields_by_name
        paged = binding.verb == "GET" and not self._has_body
        self._in_query = {name: field for name, field in _PAGE.items() if paged and field in fields}

    def request(self, request: HttpRequest, values: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - of the method
        """The method's message.

        Args:
            request: what came.
            values: of the path's variables, as sent.

        Raises:
            InvalidArgument: it is not what the path takes; it names the field and quotes nothing.
        """
        message = self._request_type()
        if self._has_body:
            self._reader.read(request.body, message, fixed=self._variables)
        elif request.body:
            raise InvalidArgument(FieldViolation("body", "must be empty: this path takes none"))
        for name, value in zip(self._variables, values, strict=True):
            self._reader.set(message, name, _decoded(name, value))
        if request.query:
            self._read_query(request.query, message)
        return message

    def response(self, message: Message) -> HttpResponse:
        """The answer of a call that went well.

        Raises:
            ValueError: the message holds what JSON cannot.
        """
        return HttpResponse(200, _JSON, self._write(message).encode())

    def _read_query(self, query: str, message: Message) -> None:
        seen = set()
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_IN_QUERY)
        except ValueError:
            raise InvalidArgument(_BAD_QUERY) from None
        for name, value in pairs:
            field = self._in_query.get(name)
            if field is None or field in seen:
                raise InvalidArgument(_BAD_QUERY)
            seen.add(field)
            self._reader.set(message, field, value)
        if not pairs:
            raise InvalidArgument(_BAD_QUERY)


def _decoded(name: str, value: str) -> str:
    """The value of a variable, of which a path holds bytes of UTF-8 by percent signs.

    Raises:
        InvalidArgument: it holds something else.
    """
    if "%" not in value and value.isascii():
        return value
    try:
        if not _HALF_ENCODED.search(value):
            return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        pass
    raise InvalidArgument(FieldViolation(name, "must be UTF-8, percent-encoded, in the path"))
