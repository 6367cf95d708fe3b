"""Where test servers come from, and what is said when they can come from nowhere."""

import pytest

from tests.servers import ServerMissing, choose, container, machine, open_postgres, open_rabbit, postgres, rabbit


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No binaries, no right to install, no container engine, no url given."""
    monkeypatch.delenv("FLOE_TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("FLOE_TEST_AMQP_URL", raising=False)
    monkeypatch.setenv("FLOE_TEST_INSTALL", "0")
    for module in (postgres, rabbit):
        monkeypatch.setattr(module, "find_binaries", lambda: None)
    monkeypatch.setattr(container, "find_engine", lambda: None)


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(("opener", "variable"), [(open_postgres, "DATABASE_URL"), (open_rabbit, "AMQP_URL")])
def test_a_bare_machine_is_told_what_to_do(opener, variable: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ServerMissing, match=rf"apt-get install .*docker or podman.*FLOE_TEST_{variable}"), opener():
        pass


@pytest.mark.usefixtures("bare_machine")
def test_a_container_engine_stands_in_for_binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "find_engine", lambda: "docker")
    assert isinstance(choose.new_postgres(), container.ContainerPostgres)
    assert isinstance(choose.new_rabbit(), container.ContainerRabbit)


def test_given_urls_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOE_TEST_DATABASE_URL", "postgresql://me@db.example:5433/x")
    monkeypatch.setenv("FLOE_TEST_AMQP_URL", "amqp://me:pw@mq.example/v")
    with open_postgres() as database, open_rabbit() as broker:
        assert database.url == "postgresql+asyncpg://me@db.example:5433/x"
        assert broker.url_of("a/b") == "amqp://me:pw@mq.example/a%2Fb"


def test_a_given_broker_without_management_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOE_TEST_AMQP_URL", "amqp://me:pw@mq.example/v")
    monkeypatch.delenv("FLOE_TEST_AMQP_MANAGEMENT_URL", raising=False)
    with open_rabbit() as broker, pytest.raises(ServerMissing, match="FLOE_TEST_AMQP_MANAGEMENT_URL"):
        broker.create_vhost()


def test_free_ports_stay_out_of_the_kernels_range() -> None:
    assert 20_000 <= machine.free_port() < 32_000
