"""What the OPC UA face says when it cannot listen: the remedy fits the cause."""

import socket

import pytest

from server.opcua.face import why_deaf


def test_a_name_that_cannot_be_resolved_is_no_matter_of_the_port() -> None:
    said = why_deaf(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert "the host name cannot be resolved (Name or service not known)" in said
    assert "correct opcua.host" in said
    assert "port" not in said


def test_an_address_of_another_machine_is_no_matter_of_the_port() -> None:
    with pytest.raises(OSError, match=r".+") as caught:
        socket.create_server(("192.0.2.1", 0))  # TEST-NET-1 of RFC 5737: no machine has it
    said = why_deaf(caught.value)
    assert "no interface of this machine has that address" in said
    assert "correct opcua.host" in said


def test_a_port_that_is_taken_is_to_be_freed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r".+") as caught:
        socket.create_server(taken.getsockname())
    assert why_deaf(caught.value).endswith("free the port or choose another")
