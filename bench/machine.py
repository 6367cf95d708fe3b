"""What the machine can do at all, measured in the same run: figures of floe are quoted as ratios to these."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median


def facts() -> str:
    """Processor, cores, memory, kernel."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next((int(line.split()[1]) >> 20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return f"{model}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release.split('-')[0]}"


def process_starts(seconds: float = 1.0) -> float:
    """`true` started and waited for per second, two at a time, by posix_spawn from Python."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        pids = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(2)]
        for pid in pids:
            os.waitpid(pid, 0)
        count += 2
    return count / (time.perf_counter() - started)


def cpu_calibration() -> float:
    """Milliseconds for a fixed piece of pure Python: what an hour's drift is seen by."""
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        sum(i * i for i in range(200_000))
        rounds.append((time.perf_counter() - started) * 1000)
    return median(rounds)


def syncs(count: int = 200) -> float:
    """Appends with fdatasync per second, on the file system of temporary files."""
    with tempfile.NamedTemporaryFile() as file:
        started = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 100)
            file.flush()
            os.fdatasync(file.fileno())
        return count / (time.perf_counter() - started)


def commit() -> str:
    """Of this checkout."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
