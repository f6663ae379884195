"""Calls a running session-service as any program in Python would, and prints a transcript.

One JSON object per case, with nothing in it that differs between runs. The programs in the other
languages print the same.

    python client.py served <address> <service key>
    python client.py stalled <address> <access token>     while the service waits for its store
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import grpc

# The folder of a program is on its path.
from served import served
from wire import stalled

SCENARIOS: Final[dict[str, Callable[[grpc.Channel, str], None]]] = {"served": served, "stalled": stalled}


def main() -> None:
    """Play the scenario that the command line names."""
    scenario, address, credential = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        SCENARIOS[scenario](channel, credential)


if __name__ == "__main__":
    main()
