"""The nemesis' own eyes: planted violations are seen in what tasks wrote down, and a line can hold and cut."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nemesis.evidence import Evidence, printed
from tests.faults.nemesis.proxy import Line, Loop


def write(directory: Path, *records: tuple[str, str, int], tags: tuple[str, ...] = (), **more: object) -> None:
    with (directory / "evidence").open("a") as file:
        for what, run, n in records:
            whole = {"is": what, "run": run, "node": "a", "activation": n, "epoch": 1, "pid": 7, "bytes": 0, "lines": 1}
            file.write(json.dumps({**whole, "tags": tags, **more}) + "\n")


def test_what_went_well_is_no_violation(tmp_path: Path) -> None:
    write(tmp_path, ("start", "r-1", 1), ("end", "r-1", 1), ("start", "r-1", 2), tags=("t",))
    write(tmp_path, ("start", "r-2", 1), tags=("t",))
    assert Evidence(tmp_path).read() == []


def test_a_second_start_is_seen(tmp_path: Path) -> None:
    write(tmp_path, ("start", "r-1", 1), ("start", "r-1", 1))
    assert [what[:2] for what in Evidence(tmp_path).read()] == ["I2"]


def test_an_end_of_another_process_is_seen(tmp_path: Path) -> None:
    write(tmp_path, ("start", "r-1", 1))
    write(tmp_path, ("end", "r-1", 1), pid=8)
    assert [what[:2] for what in Evidence(tmp_path).read()] == ["I2"]


def test_a_held_lock_is_seen(tmp_path: Path) -> None:
    write(tmp_path, ("conflict", "r-2", 1), tag="t")
    assert [what[:2] for what in Evidence(tmp_path).read()] == ["I3"]


def test_runs_that_take_turns_with_a_tag_are_seen(tmp_path: Path) -> None:
    write(tmp_path, ("start", "r-1", 1), ("end", "r-1", 1), ("start", "r-2", 1), ("start", "r-1", 2), tags=("t",))
    assert [what[:2] for what in Evidence(tmp_path).read()] == ["I3"]


def test_half_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    write(tmp_path, ("start", "r-1", 1))
    text = (tmp_path / "evidence").read_bytes()
    (tmp_path / "evidence").write_bytes(text[:20])
    evidence = Evidence(tmp_path)
    assert evidence.read() == []
    assert not evidence.doings
    (tmp_path / "evidence").write_bytes(text)
    evidence.read()
    assert list(evidence.doings) == [("r-1", 1)]


def test_two_activations_never_print_the_same() -> None:
    assert printed(("r-1", 1), 50).splitlines()[5] != printed(("r-1", 2), 50).splitlines()[5]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def through(server: socket.socket, line: Line) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(("127.0.0.1", line.port), timeout=5)
    there, _ = server.accept()
    there.settimeout(5)
    return client, there


def test_a_line_holds_what_it_is_told_to_hold(server: socket.socket, loop: Loop) -> None:
    line = loop.line(server.getsockname()[1])
    client, there = through(server, line)
    with client, there:
        line.hold_up = True
        client.sendall(b"held")
        there.sendall(b"passes")
        assert client.recv(10) == b"passes"
        there.settimeout(0.3)
        with pytest.raises(TimeoutError):
            there.recv(10)
        there.settimeout(5)
        line.pass_all()
        assert there.recv(10) == b"held"


def test_a_line_resets(server: socket.socket, loop: Loop) -> None:
    line = loop.line(server.getsockname()[1])
    client, there = through(server, line)
    with client, there:
        client.sendall(b"x")
        assert there.recv(1) == b"x"
        loop.reset(line)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_line_cuts_in_the_middle(server: socket.socket, loop: Loop) -> None:
    line = loop.line(server.getsockname()[1])
    client, there = through(server, line)
    with client, there:
        line.cut = 1.0
        client.sendall(b"0123456789")
        assert there.recv(10) == b"01234"
        with pytest.raises(ConnectionResetError):
            there.recv(1)
