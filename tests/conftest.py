"""Fixtures of every tier: the loop's backend, and servers of our own that live as long as the session."""

from collections.abc import Iterator

import pytest

from tests.servers import open_postgres, open_rabbit
from tests.servers.choose import AnyPostgres, AnyRabbit, GivenPostgres, GivenRabbit


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[AnyPostgres | GivenPostgres]:
    """The session's PostgreSQL. Do not stop it: a fault test starts a `PrivatePostgres` of its own."""
    with open_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def rabbit() -> Iterator[AnyRabbit | GivenRabbit]:
    """The session's RabbitMQ. Do not stop it: a fault test starts a `PrivateRabbit` of its own."""
    with open_rabbit() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: AnyPostgres | GivenPostgres) -> str:
    return postgres.url


@pytest.fixture(scope="session")
def rabbitmq_url(rabbit: AnyRabbit | GivenRabbit) -> str:
    return rabbit.url


@pytest.fixture
def fresh_database(postgres: AnyPostgres | GivenPostgres) -> Iterator[str]:
    """The url of an empty database that is dropped after the test."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture
def fresh_vhost(rabbit: AnyRabbit | GivenRabbit) -> Iterator[str]:
    """The url of an empty virtual host that is deleted after the test."""
    with rabbit.fresh_vhost() as url:
        yield url
