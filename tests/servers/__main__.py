"""`python -m tests.servers`: both servers in the foreground until SIGTERM or SIGINT, their urls on stdout."""

import signal
import sys
import threading
from contextlib import ExitStack

from tests.servers.choose import new_postgres, new_rabbit
from tests.servers.machine import ServerMissing


def main() -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        with ExitStack() as stack:
            rabbit = new_rabbit()
            stack.callback(rabbit.close)
            postgres = new_postgres()
            stack.callback(postgres.close)
            rabbit.launch()
            postgres.start()
            rabbit.wait_ready()
            print(f"export FLOE_DATABASE_URL={postgres.url}\nexport FLOE_AMQP_URL={rabbit.url}", flush=True)
            ended.wait()
    except ServerMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
