"""gateway.yaml with other addresses is the same file otherwise."""

from __future__ import annotations

import pytest
import yaml

from deploy.envoy import configuration

PORTS = (configuration.GATEWAY, configuration.ADMIN, configuration.SERVICE, configuration.UPSTREAM)


def test_nothing_but_addresses_changes() -> None:
    """What is put into the four sockets is there, and put back it is the file as it stands."""
    other = {port: f"127.0.0.2:{port + 1}" for port in PORTS}
    moved = yaml.safe_dump(configuration.read(other))
    for port in PORTS:
        assert f"port_value: {port}\n" not in moved
        moved = moved.replace(f"port_value: {port + 1}\n", f"port_value: {port}\n")
    assert yaml.safe_load(moved.replace("127.0.0.2", "127.0.0.1")) == configuration.read({})
    assert configuration.read({}) == yaml.safe_load(configuration.FILE.read_text())


def test_a_socket_that_is_not_there_is_noticed() -> None:
    """A port that the file does not have is an error, and not an address that is lost."""
    with pytest.raises(KeyError):
        configuration.read({4711: "127.0.0.1:1"})


def test_no_socket_is_open_to_all() -> None:
    """As it stands every address of the file is loopback."""
    addresses = [line for line in configuration.FILE.read_text().splitlines() if "port_value" in line]
    assert len(addresses) == len(PORTS)
    assert all("address: 127.0.0.1" in line for line in addresses)
