"""`python -I -S .../__main__.py ROOT CODE`: the spawner of one agent's root, and a guard above it.

The guard does nothing until the spawner dies; then everything that descended from it has become the guard's, is
killed, and so no task outlives its supervisor. CODE is the directory that holds our packages.
"""

import fcntl
import os
import signal
import sys
import time


def main(root: str, code: str) -> None:
    """Fork: the parent guards, the child serves."""
    sys.path.insert(0, code)
    from services.agent.spawner import orphans

    orphans.adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    child = os.fork()
    if child == 0:
        orphans.adopt_orphans()
        serve(root)
    else:
        guard(child)


def serve(root: str) -> None:
    """Hold the root's lock, then serve; "ready" on standard output says that the socket is there."""
    from services.agent.spawner.link import listen
    from services.agent.spawner.server import Server

    lock = os.open(f"{root}/spawner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    listener = listen(root)
    os.write(1, b"ready\n")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    try:
        Server(listener).run()
    finally:
        os.unlink(f"{root}/spawner.sock")


def guard(child: int) -> None:
    """Wait for the spawner's end, then kill whatever is left below, however often that takes."""
    from services.agent.spawner import tree

    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    while os.waitpid(-1, 0)[0] != child:
        pass
    while True:
        for proc in tree.below([os.getpid()], tree.table())[1:]:
            tree.send(proc, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
