"""Topology: what CLUSTER SLOTS says, whatever form its nodes have."""

from __future__ import annotations

import pytest

from session_service.storage.topology import SlotRange, node_address, parse_slots

ASKED = ("10.0.0.1", 6379)


def test_ranges_name_their_primary() -> None:
    """The first node of a range is its primary; replicas and further fields are passed over."""
    reply = [
        [0, 5460, [b"10.0.0.1", 7000, b"id-1", []], [b"10.0.0.4", 7003, b"id-4", []]],
        [5461, 16383, [b"redis-2.example", 7001, b"id-2"]],
    ]
    assert parse_slots(reply, ASKED) == [
        SlotRange(0, 5460, ("10.0.0.1", 7000)),
        SlotRange(5461, 16383, ("redis-2.example", 7001)),
    ]


@pytest.mark.parametrize("host", [b"", b"?", "", None])
def test_a_node_that_does_not_know_its_host_is_where_it_was_asked(host: bytes | str | None) -> None:
    """An empty host, or one that is not known, stands for the node that answered."""
    assert parse_slots([[0, 1, [host, 7000, b"id"]]], ASKED) == [SlotRange(0, 1, ("10.0.0.1", 7000))]


def test_a_redirection_has_the_same_form() -> None:
    """MOVED and ASK name nodes as text."""
    assert node_address("10.0.0.9", 7002, ASKED) == ("10.0.0.9", 7002)
    assert node_address("", 7002, ASKED) == ("10.0.0.1", 7002)
