"""Chooses where a server comes from: a given url, this machine's binaries, apt-get, a container engine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import httpx

from tests.servers import container, machine, postgres, rabbit

AnyPostgres = postgres.PrivatePostgres | container.ContainerPostgres
AnyRabbit = rabbit.PrivateRabbit | container.ContainerRabbit


class GivenPostgres(postgres.Databases):
    """A server that someone else runs, named by `FLOE_TEST_DATABASE_URL`; its user must be able to create databases."""


class GivenRabbit(rabbit.Orders):
    """A broker that someone else runs, named by `FLOE_TEST_AMQP_URL`.

    Fresh virtual hosts need its management API: `FLOE_TEST_AMQP_MANAGEMENT_URL`, with user and password in it.
    """

    def __init__(self, url: str, management: str | None) -> None:
        self.url, self._management = url, management

    def create_vhost(self) -> str:
        name = f"floe-{os.urandom(6).hex()}"
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._call("PUT", f"/api/vhosts/{name}")
        self._call("PUT", f"/api/permissions/{name}/{quote(self.user)}", rights)
        return self.url_of(name)

    def delete_vhost(self, url: str) -> None:
        self._call("DELETE", f"/api/vhosts{urlsplit(url).path}")

    def evaluate(self, expression: str) -> str:
        raise machine.ServerMissing(
            "this test gives orders to its broker: unset FLOE_TEST_AMQP_URL so that it starts one"
        )

    def _call(self, method: str, path: str, body: object = None) -> None:
        if self._management is None:
            raise machine.ServerMissing(
                "FLOE_TEST_AMQP_URL is set, so fresh virtual hosts need FLOE_TEST_AMQP_MANAGEMENT_URL"
                " (http://USER:PASSWORD@HOST:15672) too; or unset both and the tests start a broker of their own"
            )
        httpx.request(method, self._management.rstrip("/") + path, json=body, timeout=10).raise_for_status()


@contextmanager
def open_postgres() -> Iterator[AnyPostgres | GivenPostgres]:
    """A running PostgreSQL; one that was started here is gone, with its directory, when the block ends."""
    given = os.environ.get("FLOE_TEST_DATABASE_URL")
    if given:
        yield GivenPostgres(postgres.plain_url(given))
        return
    server = new_postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def open_rabbit() -> Iterator[AnyRabbit | GivenRabbit]:
    """A running RabbitMQ; one that was started here is gone, with its directory, when the block ends."""
    given = os.environ.get("FLOE_TEST_AMQP_URL")
    if given:
        yield GivenRabbit(given, os.environ.get("FLOE_TEST_AMQP_MANAGEMENT_URL"))
        return
    server = new_rabbit()
    try:
        server.start()
        yield server
    finally:
        server.close()


def new_postgres() -> AnyPostgres:
    """A PostgreSQL of our own, not yet started."""
    if postgres.find_binaries() or (machine.install("postgresql") and postgres.find_binaries()):
        return postgres.PrivatePostgres()
    engine = container.find_engine()
    if engine:
        return container.ContainerPostgres(engine)
    raise machine.ServerMissing(_advice("PostgreSQL", "postgresql", "FLOE_TEST_DATABASE_URL"))


def new_rabbit() -> AnyRabbit:
    """A RabbitMQ of our own, not yet started."""
    if rabbit.find_binaries() or (machine.install("rabbitmq-server") and rabbit.find_binaries()):
        return rabbit.PrivateRabbit()
    engine = container.find_engine()
    if engine:
        return container.ContainerRabbit(engine)
    raise machine.ServerMissing(_advice("RabbitMQ", "rabbitmq-server", "FLOE_TEST_AMQP_URL"))


def _advice(server: str, package: str, variable: str) -> str:
    tried = "apt-get could not install it" if machine.may_install() else "installing it is not allowed here"
    return (
        f"the tests need {server}: it is not installed, {tried}, and no container engine answers."
        f" Either `apt-get install {package}`, or start docker or podman, or name a running one in {variable}."
    )
