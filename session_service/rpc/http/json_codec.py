"""Proto3 JSON for the methods that REST serves: each message type is compiled once."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from session_service.rpc.http.bindings import Binding
from session_service.rpc.http.json_reader import JsonReader
from session_service.rpc.http.json_writer import JsonWriter
from session_service.rpc.http.rest import RestMethod


class JsonCodec:
    """Readers and writers of message types, made when asked for and kept."""

    def __init__(self) -> None:
        self._readers: dict[str, JsonReader] = {}
        self._writers: dict[str, JsonWriter] = {}

    def rest_method(self, binding: Binding) -> RestMethod:
        """What serves a binding.

        Raises:
            NotImplementedError: a message has a field of a type that the contract did not have so far.
        """
        service, _, name = binding.method.removeprefix("/").partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        asked, answered = method.input_type, method.output_type
        reader = self._readers.get(asked.full_name) or JsonReader(asked, self._readers)
        writer = self._writers.get(answered.full_name) or JsonWriter(answered, self._writers)
        return RestMethod(binding, GetMessageClass(asked), reader, writer)
