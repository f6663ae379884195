"""Calls a running session-service as any program in Python would, and prints a transcript.

One JSON object per case, with nothing in it that differs between runs. The programs in the other
languages print the same.

    python -m tests.interop.python.client served <address> <service key>
    python -m tests.interop.python.client stalled <address> <access token>

The second is for a service that waits for its store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import grpc

from tests.interop.python.served import served
from tests.interop.python.wire import stalled

SCENARIOS: Final[dict[str, Callable[[grpc.Channel, str], None]]] = {"served": served, "stalled": stalled}


def main() -> None:
    """Play the scenario that the command line names."""
    scenario, address, credential = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        SCENARIOS[scenario](channel, credential)


if __name__ == "__main__":
    main()
