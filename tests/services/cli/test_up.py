"""`floe up` as its users meet it: one process, one directory, the first run."""

import os
import re
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.cli import command
from tests.waiting import wait_until_blocking

FLOWS = """
flows:
- id: hello
  triggers: [{id: ask, type: data}]
  tasks:
  - {id: greet, type: exec, listen: trigger.good, opts: {cmd: echo hello}}
  - {id: done, type: end, listen: task.greet.good}
- id: long
  triggers: [{id: ask, type: data}]
  tasks:
  - id: count
    type: exec
    listen: trigger.good
    opts: {shell: "seq 3; while [ ! -e GO ]; do sleep 0.02; done; echo 4"}
  - {id: done, type: end, listen: task.count.good}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class House:
    """A `floe up` of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.root = directory, directory / "root"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.go = directory / "go"
        (directory / "flows.yaml").write_text(FLOWS.replace("GO", str(self.go)))
        self.errors = directory / "errors"

    @contextmanager
    def up(self, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        given = ("up", "--conf", "flows.yaml", "--host", "h1", "--bind", f"127.0.0.1:{self.port}", *args)
        with self.errors.open("a") as errors:
            process = subprocess.Popen(
                [*command.COMMAND, *given],
                env=command.environment(self.root, **env),
                cwd=self.directory,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            try:
                wait_until_blocking(lambda: process.poll() is not None or self.ready(), 20, "floe is ready")
                assert process.poll() is None, self.errors.read_text()
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                finally:
                    process.kill()
                    process.wait()
                    assert process.stdout is not None
                    process.stdout.close()

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def floe(self, *args: str, **env: str) -> command.Ran:
        return command.run(*args, env=self.env(**env), cwd=self.directory)

    def env(self, **env: str) -> dict[str, str]:
        return command.environment(self.root, FLOE_SERVER=self.url, **env)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_first_run(house: House) -> None:
    with house.up() as process:
        assert process.stdout is not None
        greeting = [process.stdout.readline() for _ in range(3)]
        ran = house.floe("run", "hello", "--follow")
        assert ran.code == 0, ran.err
        assert "[greet] hello\n" in ran.out
        assert house.floe("health", "up").code == 0
    assert process.returncode == 0
    assert house.url in greeting[0]
    token = (house.root / "token").read_text().strip()
    assert token in greeting[1]
    assert stat.S_IMODE((house.root / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(house.root.stat().st_mode) == 0o700
    assert greeting[2].startswith(f"next:  FLOE_SERVER={house.url} FLOE_ROOT={house.root} ")
    assert greeting[2].endswith("run hello --follow\n")
    assert "Traceback" not in house.errors.read_text()


def test_what_is_taken_is_said_in_one_line(house: House, tmp_path: Path) -> None:
    with house.up():
        second = house.floe("up", "--bind", "127.0.0.1:0")
        assert second.code == 6
        assert re.match(r"another floe \(process \d+\) uses ", second.complaint)
        other = house.floe("up", "--root", str(tmp_path / "other"), "--bind", f"127.0.0.1:{house.port}")
        assert other.code == 2
        expected = f"cannot listen on 127.0.0.1:{house.port}: address already in use; give another with --bind"
        assert other.complaint == expected


def test_a_given_token_is_not_in_the_process_list(house: House) -> None:
    with house.up("--admin", "s3cret-token") as process:
        for name in ("cmdline", "environ"):
            assert b"s3cret-token" not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        assert not (house.root / "token").exists()
        assert house.floe("runs", FLOE_TOKEN="s3cret-token").code == 0
        assert house.floe("runs").code == 4
    assert "s3cret-token" not in house.errors.read_text()


def test_a_run_is_followed_through_a_restart_of_the_server(house: House, tmp_path: Path) -> None:
    printed, said = tmp_path / "printed", tmp_path / "said"
    with house.up(), printed.open("w") as out, said.open("w") as err:
        follower = subprocess.Popen(
            [*command.COMMAND, "run", "long", "--follow"], env=house.env(), cwd=tmp_path, stdout=out, stderr=err
        )
        wait_until_blocking(lambda: "[count] 3\n" in printed.read_text(), what="three lines are followed")
    try:
        with house.up():
            house.go.touch()
            assert follower.wait(30) == 0, said.read_text()
    finally:
        follower.kill()
        follower.wait()
    assert re.findall(r"^\[count\] (\d)$", printed.read_text(), re.MULTILINE) == ["1", "2", "3", "4"]
    assert "trying again" in said.read_text()


def test_a_flow_file_that_is_wrong_keeps_it_from_starting(house: House) -> None:
    (house.directory / "flows.yaml").write_text("id: a\ntasks:\n- {id: b, type: exce, listen: trigger.good}\n")
    ran = house.floe("up", "--conf", "flows.yaml", "--bind", "127.0.0.1:0")
    assert ran.code == 2
    assert "flows.yaml:3: fatal: [b]" in ran.err
    assert "did you mean exec?" in ran.err
    assert "floe: floe does not start: " in ran.err


@pytest.mark.parametrize(
    ("name", "url"),
    [("FLOE_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/x"), ("FLOE_AMQP_URL", "amqp://u:s3cret@127.0.0.1:1/")],
)
def test_what_is_waited_for_is_said_and_the_wait_can_be_ended(house: House, name: str, url: str) -> None:
    env = command.environment(house.root, **{name: url})
    process = command.start(("up", "--bind", "127.0.0.1:0"), env, house.directory)
    assert process.stderr is not None
    try:
        lines: list[str] = []
        while not any("service.waits" in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        _, rest = process.communicate()
    assert "127.0.0.1:1" in "".join(lines)
    assert "s3cret" not in "".join(lines) + rest
    assert "Traceback" not in rest


def test_an_interrupt_ends_it(house: House) -> None:
    with house.up() as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
