"""What all measurements share: the scale, a directory, the load generator, a way to say what goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from session_api.v1 import session_service_pb2 as pb

from benchmarks.load import LoadGenerator, Request
from benchmarks.processes import EMBEDDED_OPTIONS, redis_server, write_config
from benchmarks.scale import Scale
from session_service.domain.models import TokenGrant


@dataclass(frozen=True, slots=True)
class Store:
    """A running Redis: its unix socket, and the configuration of servers over it."""

    socket: Path
    config: Path

    def with_server(self, **settings: object) -> Path:
        """Write a copy of the configuration whose section ``server`` has further settings."""
        sections = yaml.safe_load(self.config.read_text("utf-8"))
        sections["server"] |= settings
        file = self.config.with_name(f"with-{'-'.join(settings)}.yaml")
        file.write_text(yaml.safe_dump(sections), "utf-8")
        return file


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement is given."""

    scale: Scale
    directory: Path
    generator: LoadGenerator
    say: Callable[[str], None]

    @contextmanager
    def store(self, name: str, options: Mapping[str, str] = EMBEDDED_OPTIONS) -> Iterator[Store]:
        """Run an empty Redis in a directory of this name."""
        directory = self.directory / name
        directory.mkdir()
        with redis_server(directory / "redis", options) as socket:
            yield Store(socket, write_config(directory, socket))

    def checks(self, grants: Sequence[TokenGrant]) -> Path:
        """Requests that check these access tokens."""
        return self.generator.requests(
            [Request(pb.VerifyTokenRequest(token=each.access_token)) for each in grants]
        )
