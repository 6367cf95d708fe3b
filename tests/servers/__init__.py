"""Servers of our own for tests and benchmarks: a private RabbitMQ and a private PostgreSQL, loopback only.

    with open_postgres() as postgres, open_rabbit() as rabbit:
        postgres.url, rabbit.url

Where they come from is tried in this order: the url in `FLOE_TEST_DATABASE_URL` / `FLOE_TEST_AMQP_URL`; the
binaries of this machine; the same installed with apt-get (as root, unless `FLOE_TEST_INSTALL=0`); a container
engine; else `ServerMissing`, which says all this. `python -m tests.servers` keeps both up in the foreground.
"""

from tests.servers.choose import open_postgres, open_rabbit
from tests.servers.machine import ServerMissing, free_port
from tests.servers.postgres import PrivatePostgres
from tests.servers.rabbit import PrivateRabbit

__all__ = ["PrivatePostgres", "PrivateRabbit", "ServerMissing", "free_port", "open_postgres", "open_rabbit"]
