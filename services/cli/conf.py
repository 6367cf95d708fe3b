"""What `floe up --conf` reads: the flows to store at the start, and the `common:` settings (FLOWS F-05, F-07…F-09)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from services.cli.definitions import files_of, read_file, say_problems
from shared.errors import ConfigurationError
from shared.flows import problems as findings
from shared.flows.model import Common, Flow
from shared.flows.paths import resolve_path
from shared.store.port import ApiStore

SOURCE = "conf"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All files together."""

    common: dict[str, str | None]
    flows: tuple[tuple[Flow, tuple[findings.Problem, ...]], ...]


def read_configuration(paths: Sequence[Path]) -> Configuration:
    """Read every file, saying all that is wrong. Raises ConfigurationError when something is fatal."""
    documents = [read_file(file) for path in paths for file in files_of(path)]
    for document in documents:
        say_problems(document)
    fatal = sum(1 for document in documents for found in document.problems if found.level == "fatal")
    if fatal:
        raise ConfigurationError(
            f"floe does not start: {fatal} fatal finding{'s' * (fatal > 1)} in its flow files, above"
        )
    common: dict[str, str | None] = {}
    for document in documents:
        _merge(common, settings_of(document.common))
    flows = [(flow, d.problems_of(flow.id)) for d in documents for flow in d.flows]
    _check_once([flow for flow, _ in flows])
    return Configuration(common, tuple(flows))


def settings_of(common: Common) -> dict[str, str | None]:
    """The settings that a `common:` section gives, by key; paths as FLOWS F-09 has them."""
    return {
        "base-url": common.base_url if common.base_url != Common().base_url else None,
        "store-type": common.store_type,
        "workspace-root": _path(common.workspace_root),
        "store-root": _path(common.store_root),
        "git-key": _path(common.git_key),
    }


def _path(text: str | None) -> str | None:
    return resolve_path(text, str(Path.home()), lambda: mkdtemp(prefix="floe-")) if text else None


def _merge(into: dict[str, str | None], more: dict[str, str | None]) -> None:
    for key, value in more.items():
        if value is not None and into.get(key) not in (None, value):
            raise ConfigurationError(f"common: {key} is {into[key]} in one file and {value} in another: keep one")
        into[key] = value or into.get(key)


def _check_once(flows: Sequence[Flow]) -> None:
    seen: set[str] = set()
    for flow in flows:
        if flow.ref in seen:
            raise ConfigurationError(f"flow {flow.ref} is defined twice in the files given: keep one")
        seen.add(flow.ref)


async def store_flows(store: ApiStore, configuration: Configuration) -> None:
    """Keep the flows as versions (F-05); those that came from a configuration before and left it are disarmed."""
    for flow, problems in sorted(configuration.flows, key=lambda item: (item[0].id, item[0].ver)):
        await store.put_flow(flow, source=SOURCE, problems=[findings.to_json(found) for found in problems])
    await store.disarm_flows(SOURCE, {flow.id for flow, _ in configuration.flows})
