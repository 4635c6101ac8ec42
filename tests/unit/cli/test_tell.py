"""What the running program writes to standard output, and to one that nobody has any more."""

import os
import pty
import sys

from server.cli.run import print_endpoint, tell


def test_where_clients_find_it_is_told_as_one_text(capsys) -> None:
    print_endpoint({"opcua": {"endpoint": "opc.tcp://127.0.0.1:4840", "port": 4840}, "pids": {}})
    print_endpoint({"pids": {}})
    assert capsys.readouterr().out == "OPC UA    opc.tcp://127.0.0.1:4840\nCtrl-C stops\nCtrl-C stops\n"


def test_a_terminal_that_was_closed_costs_the_words_and_nothing_else(monkeypatch) -> None:
    ours, theirs = pty.openpty()
    os.close(ours)
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        for _ in range(2):
            tell("a line about the plant\r")
        assert os.readlink(f"/proc/self/fd/{theirs}") == os.devnull
