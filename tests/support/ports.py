"""Free TCP ports on loopback."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

_CLUSTER_BUS_OFFSET = 10_000
# No candidate is another's bus port, and all of them stay below the ephemeral range (from 32,768 on
# Linux), so that no outgoing connection takes the port between the look and the use.
_CANDIDATES = range(10_240, 10_240 + _CLUSTER_BUS_OFFSET)
_DRAW = random.SystemRandom()


def free_port() -> int:
    """Return a loopback port that is free, and so is the one 10,000 above it: Redis Cluster's bus port."""
    while True:
        port = _DRAW.choice(_CANDIDATES)
        if _is_free(port) and _is_free(port + _CLUSTER_BUS_OFFSET):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
