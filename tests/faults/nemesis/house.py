"""The service processes: started, killed, paused, rolled; and started again by a keeper when they end by themselves."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import machine
from tests.system.deployed import FLOE, Deployed

REPOSITORY = Path(__file__).resolve().parents[3]
_ENDED = re.compile(r"^\[?\S*error\S*|Traceback|cannot|failed", re.IGNORECASE | re.MULTILINE)


@dataclass
class House(Deployed):
    """Services by name. Each dies with this process; `environs` makes the environment of one."""

    environs: Callable[[str], Mapping[str, str]] = lambda name: {}
    fell: list[str] = field(default_factory=list)
    """Who ended without having been told, and with what."""
    _down: set[str] = field(default_factory=set)
    _extra: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    def environment(self, name: str) -> dict[str, str]:
        found = {**super().environment(name), "PYTHONPATH": str(REPOSITORY), **self.environs(name)}
        return {**found, **self._extra.get(name, {})}

    def start(self, name: str, *command: str, **extra: str) -> None:
        """Start it, or again as it was; `extra` is environment for this life only."""
        with self._guard:
            self._commands[name] = command or self._commands[name]
            self._extra[name] = extra
            log = self.directory / f"{name}.log"
            self.processes[name] = machine.spawn([FLOE, *self._commands[name]], log, self.environment(name))
            self._extra[name] = {}
            self._down.discard(name)

    def kill(self, name: str) -> None:
        """kill -9; it stays down until `start`."""
        with self._guard:
            self._down.add(name)
            super().kill(name)

    def stop(self, name: str) -> int:
        with self._guard:
            self._down.add(name)
            process = self.processes[name]
        process.send_signal(signal.SIGCONT)
        return super().stop(name)

    def is_up(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def names(self, kind: str = "") -> list[str]:
        """Of services whose command is `kind`, in order; of all without."""
        return [name for name, command in self._commands.items() if kind in ("", command[0])]

    def expect_end(self, name: str) -> None:
        """Its end will be no surprise, and is not made good by the keeper: whoever called this starts it again."""
        self._down.add(name)

    def forget(self, name: str) -> None:
        """It was only for a while: it is not started again."""
        with self._guard:
            self._commands.pop(name, None)
            self._down.discard(name)

    def pids(self, name: str) -> list[int]:
        """Its process; of an agent not its spawner."""
        return [self.processes[name].pid] if name in self.processes else []

    def spawner_pid(self, agent: str) -> int | None:
        """The supervisor of an agent's tasks, if it lives."""
        try:
            pid = int((self.directory / agent / "spawner.lock").read_text())
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.directory / agent).encode() in line else None

    def keep(self) -> None:
        """Begin to start again what ends by itself, as a service manager does."""
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._closing.wait(0.3):
            with self._guard:
                for name, process in list(self.processes.items()):
                    if process.poll() is not None and name not in self._down:
                        self.fell.append(f"{name} ended with {process.returncode}: {self._last_words(name)}")
                        self.start(name)

    def _last_words(self, name: str) -> str:
        lines = self.log(name).strip().splitlines()
        said = [line for line in lines if _ENDED.search(line)]
        return (said or lines or [""])[-1][-300:]

    def revive(self) -> None:
        """Whatever is down comes up."""
        with self._guard:
            for name in self._commands:
                if not self.is_up(name):
                    self.start(name)

    def close(self, names: Sequence[str] = ()) -> list[str]:
        """SIGTERM to all at once; returns who did not end well within 40 s (those are killed)."""
        self._closing.set()
        if self._keeper:
            self._keeper.join()
        late = []
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 40
        for name, process in self.processes.items():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except Exception:
                late.append(f"{name} did not end within 40 s of SIGTERM")
                process.kill()
                process.wait()
        self.processes.clear()
        return late


def signal_pid(pid: int, number: signal.Signals) -> None:
    """Send it; gone is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
