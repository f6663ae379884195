"""TLS to Redis with files that are renewed on disk: every new connection uses them as they are then.

redis-py reads them once for each connection object, and its pools keep that object when a connection is lost.
After Redis got a certificate of another authority, connecting would fail until this process was restarted.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext, SSLConnection

log = logging.getLogger(__name__)


class RenewingContext(RedisSSLContext):
    """Makes the context anew when a file's content has changed; keeps the last one that could be made.

    Args:
        ca_file: PEM file of the authorities to trust besides the system's; empty = none.
        cert_file: this client's certificate, PEM; empty = none.
        key_file: its private key, PEM; empty = none.
    """

    def __init__(self, ca_file: str, cert_file: str, key_file: str) -> None:
        super().__init__(
            keyfile=key_file or None,
            certfile=cert_file or None,
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=ca_file or None,
            check_hostname=True,
        )
        self._contents: list[bytes] = []
        self._problem = ""

    def get(self) -> ssl.SSLContext:
        """The context for a connection that is about to be opened.

        Raises:
            OSError: the files are not usable, and never were.
        """
        last = self.context
        try:
            contents = self._read()
            if last is None or contents != self._contents:
                self.context = None
                super().get()
                self._contents = contents
        except OSError as error:
            self.context = last
            if last is None:
                raise
            self._note(str(error))
        else:
            self._problem = ""
        assert self.context is not None  # noqa: S101 - for the type checker
        return self.context

    def _note(self, problem: str) -> None:
        """Log a problem once, and not with each connection."""
        if problem != self._problem:
            log.warning("redis.tls: files kept as they were", extra={"problem": problem})
        self._problem = problem

    def _read(self) -> list[bytes]:
        files = (self.ca_certs, self.certfile, self.keyfile)
        return [Path(file).read_bytes() for file in files if file]


class RenewingTlsConnection(SSLConnection):
    """A connection over TLS; see the module.

    Args:
        tls_context: what all connections to one Redis share, so that the last one that could be made outlives
            each of them; redis-py's own is left alone.
    """

    def __init__(self, *, tls_context: RenewingContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ssl_context = tls_context
