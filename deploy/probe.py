# ruff: noqa: INP001, T201 - a script that talks to whoever runs a probe
"""Asks a server for its health, as grpc.health.v1: exit code 0 = SERVING, 1 = anything else.

For probes that run a command: the image's HEALTHCHECK, and Kubernetes where the server has TLS, which its
own gRPC probe does not speak.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SECONDS = 3.0
_SERVING = health_pb2.HealthCheckResponse.SERVING


def main() -> int:
    """Ask once."""
    arguments = _arguments()
    with _channel(arguments) as channel:
        # Its generated methods are attributes set at run time, which types do not show.
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            print(f"{arguments.address}: {error.code().name}", file=sys.stderr)
            return 1
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return 0 if answer.status == _SERVING else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Exit code 0 if the server says SERVING.")
    parser.add_argument("address", nargs="?", default="127.0.0.1:50051", help="default: %(default)s")
    parser.add_argument("--ca-file", type=Path, help="PEM bundle to trust: the server has TLS")
    parser.add_argument("--server-name", help="name in its certificate, if not that of the address")
    return parser.parse_args()


def _channel(arguments: argparse.Namespace) -> grpc.Channel:
    # A proxy of the environment is for other traffic.
    options: list[tuple[str, object]] = [("grpc.enable_http_proxy", 0)]
    if arguments.ca_file is None:
        return grpc.insecure_channel(arguments.address, options=options)
    if arguments.server_name:
        options.append(("grpc.ssl_target_name_override", arguments.server_name))
    credentials = grpc.ssl_channel_credentials(arguments.ca_file.read_bytes())
    return grpc.secure_channel(arguments.address, credentials, options=options)


if __name__ == "__main__":
    sys.exit(main())
