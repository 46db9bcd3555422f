import socket
import subprocess
import sys

import pytest

from harness.errors import StackError
from harness.stacks.native.ports import HIGHEST, LOWEST, Ports


def test_ports_are_below_the_ephemeral_range() -> None:
    assert LOWEST < HIGHEST < 32768


def test_two_holders_never_share_a_port() -> None:
    one, two = Ports(), Ports()
    try:
        taken = [holder.take() for _ in range(20) for holder in (one, two)]
        assert len(set(taken)) == len(taken)
    finally:
        one.close()
        two.close()


def test_another_process_does_not_get_a_port_that_is_held() -> None:
    ports = Ports()
    try:
        mine = ports.take()
        code = f"from harness.stacks.native.ports import Ports; print(Ports({mine}).take())"
        theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert int(theirs) > mine
    finally:
        ports.close()


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    first = Ports()
    free = first.take()
    first.close()
    with socket.create_server(("127.0.0.1", free)):
        ports = Ports(free)
        assert ports.take() > free
        ports.close()


def test_a_port_that_another_holds_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial takes the port for a moment, in which the other's server may want it."""
    one, tried = Ports(), []
    mine = one.take()
    monkeypatch.setattr("harness.stacks.native.ports._free", lambda port: not tried.append(port))
    two = Ports(mine)
    assert two.take() > mine
    assert mine not in tried
    one.close()
    two.close()


def test_a_closed_holder_lets_go() -> None:
    ports = Ports()
    port = ports.take()
    ports.close()
    again = Ports(port, port)
    assert again.take() == port
    again.close()


def test_no_port_left_is_said() -> None:
    ports = Ports()
    port = ports.take()
    with pytest.raises(StackError, match=f"from {port} to {port}"):
        Ports(port, port).take()
    ports.close()
