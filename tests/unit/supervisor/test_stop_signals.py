"""Which signals stop the program in order."""

import signal

import pytest

from server.supervisor.supervisor import stop_signals


@pytest.fixture
def hang_up():
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


def test_a_hang_up_stops_it_as_a_request_to_end_does(hang_up) -> None:
    hang_up(signal.SIG_DFL)
    assert set(stop_signals()) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def test_a_hang_up_that_was_to_be_ignored_stays_ignored(hang_up) -> None:
    hang_up(signal.SIG_IGN)
    assert set(stop_signals()) == {signal.SIGTERM, signal.SIGINT}
