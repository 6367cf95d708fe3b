"""A wall clock that can be set, for one process: a small library is put before the system's. Needs a C compiler."""

import functools
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile double *offset;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("NEMESIS_CLOCK");
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *found = mmap(0, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
        if (found != MAP_FAILED) offset = found;
        close(fd);
    }
}
int clock_gettime(clockid_t which, struct timespec *to) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, to);
    if (!result && offset && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        double by = *offset;
        long long ns = to->tv_nsec + (long long)((by - (long long)by) * 1e9);
        to->tv_sec += (long long)by;
        while (ns >= 1000000000LL) { ns -= 1000000000LL; to->tv_sec++; }
        while (ns < 0) { ns += 1000000000LL; to->tv_sec--; }
        to->tv_nsec = ns;
    }
    return result;
}
int gettimeofday(struct timeval *to, void *zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    to->tv_sec = found.tv_sec;
    to->tv_usec = found.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (to) *to = found.tv_sec;
    return found.tv_sec;
}
"""


def available() -> bool:
    """There is a compiler."""
    return shutil.which("cc") is not None


class Clock:
    """The offset of one process' clock, in seconds, in a file that it looks at with every question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0.0)

    def set(self, seconds: float) -> None:
        """From now on its wall clock is off by that."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(fd, struct.pack("d", seconds), 0)
        os.close(fd)

    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        return {"LD_PRELOAD": str(_library(self._path.parent)), "NEMESIS_CLOCK": str(self._path)}


@functools.cache
def _library(directory: Path) -> Path:
    library = directory / "clock.so"
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "clock.c"
        source.write_text(_SOURCE)
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
    return library
