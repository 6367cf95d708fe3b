"""Goes into a service process that the nemesis starts with this directory on PYTHONPATH: dies at a named point (X4).

NEMESIS_CRASH is `MODULE:QUALNAME:before|after:COUNT`: kill -9 of itself at the COUNT-th call of that function, before
it begins or after it returned. NEMESIS_FSYNC is a path: while it exists, fsync fails with EIO (X10).
"""

import errno
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Patcher(importlib.abc.MetaPathFinder):
    """Lets the module be loaded as ever, then wraps the one function."""

    def __init__(self, module: str, path: str, when: str, count: int) -> None:
        self.module, self.path, self.when, self.left = module, path, when, count

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        loaded = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            loaded(module)
            self.wrap(module)

        loader.exec_module = exec_module
        return spec

    def wrap(self, module: ModuleType) -> None:
        *owners, last = self.path.split(".")
        owner: Any = module
        for part in owners:
            owner = getattr(owner, part)
        inner = getattr(owner, last)

        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
            self.passed("before")
            result = await inner(*args, **kwargs)
            self.passed("after")
            return result

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.passed("before")
            result = inner(*args, **kwargs)
            self.passed("after")
            return result

        setattr(owner, last, wrapped_async if inspect.iscoroutinefunction(inner) else wrapped)

    def passed(self, when: str) -> None:
        if when == self.when:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _fail_fsync(flag: str) -> None:
    real = os.fsync

    def fsync(fd: Any) -> None:
        if os.path.exists(flag):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    os.fsync = os.fdatasync = fsync


if os.environ.get("NEMESIS_CRASH"):
    _module, _path, _when, _count = os.environ["NEMESIS_CRASH"].split(":")
    sys.meta_path.insert(0, _Patcher(_module, _path, _when, int(_count)))
if os.environ.get("NEMESIS_FSYNC"):
    _fail_fsync(os.environ["NEMESIS_FSYNC"])
