"""What commands ask of the composition root, so that they need not name adapters or services themselves."""

from typing import Literal, Protocol

import click

from shared.bus.port import Bus
from shared.lifecycle import Service
from shared.setting_values import split_address
from shared.settings import Settings
from shared.store.port import Store

ServiceName = Literal["api", "hub", "dispatcher", "agent"]
START_ORDER: tuple[ServiceName, ...] = ("hub", "dispatcher", "agent", "api")
"""The stop order of ARCHITECTURE §5, turned around."""


class Composition(Protocol):
    """Makes the parts that settings ask for. Nothing is imported before its part is made."""

    def bus(self, settings: Settings, name: str) -> Bus:
        """RabbitMQ when there is a url, else the one of this process."""

    def store(self, settings: Settings) -> Store:
        """PostgreSQL when there is a url, else SQLite in the store's directory."""

    def services(self, name: ServiceName, settings: Settings, bus: Bus, store: Store | None) -> list[Service]:
        """The service of that name; of the api one for each address that it listens on."""


def composition() -> Composition:
    """The one that `main` put into the command's context."""
    made: Composition = click.get_current_context().find_root().obj
    return made


def listeners(settings: Settings) -> list[tuple[str, int, bool]]:
    """Host, port and whether TLS is spoken, of each address. Two of them replace `bind`."""
    addresses = [address for address in (settings.pub_bind, settings.prv_bind) if address] or [settings.bind]
    return [_listener(address, settings) for address in addresses]


def _listener(address: str, settings: Settings) -> tuple[str, int, bool]:
    scheme, _, rest = address.rpartition("://")
    host, port = split_address(rest)
    return host, port, scheme != "http" and settings.tls_cert is not None
