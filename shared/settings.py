"""Every setting of floe, read once by the composition root and handed down: API.md, "Settings".

A flag wins over the environment, that over `.env`, that over the `common:` section of the configuration file. A secret
setting may also come from a file: `NAME_FILE` holds its path. No value of a secret one is ever part of a message.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from shared import setting_values as values
from shared.errors import ConfigurationError

T = TypeVar("T")
StoreType = Literal["memory", "local", "postgres"]


def _setting(name: str, parse: Callable[[str], T], default: T, *, secret: bool = False, common: str = "") -> T:
    """A field with where it comes from: an environment name, and a key of `common:` if it has one."""
    origin = {"name": name, "parse": parse, "secret": secret, "common": common}
    return field(default=default, repr=not secret, metadata=origin)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked. Seconds, bytes and days as their names say; 0 means "none" or "keep all" where it may."""

    database_url: str | None = _setting("FLOE_DATABASE_URL", values.database_url, None, secret=True)
    amqp_url: str | None = _setting("FLOE_AMQP_URL", values.amqp_url, None, secret=True)
    admin_token: str | None = _setting("FLOE_ADMIN_TOKEN", values.token, None, secret=True)
    root: Path = _setting("FLOE_ROOT", values.path, Path("~/.floe"))  # noqa: RUF009
    host: str = _setting("FLOE_HOST", values.host_name, "")
    tags: tuple[str, ...] = _setting("FLOE_TAGS", values.words, ())
    slots: int = _setting("FLOE_SLOTS", values.whole(1), 10)
    agent_tasks: int = _setting("FLOE_AGENT_TASKS", values.whole(1), 32)
    ephemeral: bool = _setting("FLOE_EPHEMERAL", values.boolean, False)
    grace_seconds: float = _setting("FLOE_GRACE_SECONDS", values.seconds(0), 10.0)
    task_timeout_seconds: float = _setting("FLOE_TASK_TIMEOUT_SECONDS", values.seconds(0), 0.0)
    drain_seconds: float = _setting("FLOE_DRAIN_SECONDS", values.seconds(0), 600.0)
    lost_after_seconds: float = _setting("FLOE_LOST_AFTER_SECONDS", values.seconds(1), 300.0)
    log_cap_bytes: int = _setting("FLOE_LOG_CAP_BYTES", values.size, 64 * 1024 * 1024)
    git_protocols: tuple[str, ...] = _setting(
        "FLOE_GIT_PROTOCOLS", values.git_protocols, ("https", "ssh", "http", "git", "file")
    )
    allow_file_urls: bool = _setting("FLOE_ALLOW_FILE_URLS", values.boolean, False)
    outbound_allow: tuple[str, ...] = _setting("FLOE_OUTBOUND_ALLOW", values.networks, ())
    keep_runs_days: int = _setting("FLOE_KEEP_RUNS_DAYS", values.whole(0), 90)
    keep_workspaces: int = _setting("FLOE_KEEP_WORKSPACES", values.whole(0), 10)
    pass_env: tuple[str, ...] = _setting("FLOE_PASS_ENV", values.words, ())
    bind: str = _setting("FLOE_BIND", values.address, "127.0.0.1:8080")
    pub_bind: str | None = _setting("FLOE_PUB_BIND", values.address, None)
    prv_bind: str | None = _setting("FLOE_PRV_BIND", values.address, None)
    tls_cert: Path | None = _setting("FLOE_TLS_CERT", values.path, None)  # noqa: RUF009
    tls_key: Path | None = _setting("FLOE_TLS_KEY", values.path, None)  # noqa: RUF009
    base_url: str = _setting("FLOE_BASE_URL", values.prefix, "/api/v1", common="base-url")
    store_type: StoreType | None = _setting("FLOE_STORE_TYPE", values.store_type, None, common="store-type")  # noqa: RUF009
    workspace_root: Path | None = _setting("FLOE_WORKSPACE_ROOT", values.path, None, common="workspace-root")  # noqa: RUF009
    store_root: Path | None = _setting("FLOE_STORE_ROOT", values.path, None, common="store-root")  # noqa: RUF009
    git_key: str = _setting("FLOE_GIT_KEY", str, "", common="git-key")
    log: Literal["text", "json"] = _setting("FLOE_LOG", values.log_form, "text")
    log_level: str = _setting("FLOE_LOG_LEVEL", values.log_level, "info")

    @property
    def workspaces(self) -> Path:
        """Where workspaces are: FLOWS F-08, by default the root."""
        return self.workspace_root or self.root

    @property
    def store_directory(self) -> Path:
        """Where the embedded store is: FLOWS F-08, by default the root."""
        return self.store_root or self.root

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be seen anywhere."""
        held = (getattr(self, item.name) for item in fields(self) if item.metadata["secret"])
        return tuple(value for value in held if value)


def read_settings(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    dotenv: Mapping[str, str | None] | None = None,
    common: Mapping[str, str | None] | None = None,
) -> Settings:
    """Settings from the four layers. `flags` by field name, `common` by its own keys; None counts as not given.

    Raises ConfigurationError that names the setting, where it stands and what fits. An empty value is as not given.
    """
    found: dict[str, Any] = {}
    for item in fields(Settings):
        text, place = _look_up(item, flags, environ, dotenv or {}, common or {})
        if text is not None:
            found[item.name] = _checked(item, text, place)
    found.setdefault("root", values.path("~/.floe"))
    found.setdefault("host", values.own_host_name())
    settings = Settings(**found)
    _check_together(settings)
    return settings


def unknown_names(given: Mapping[str, object]) -> tuple[tuple[str, str | None], ...]:
    """`FLOE_*` names that mean nothing to floe, each with the nearest that does: most likely a slip of the pen."""
    from shared.flows.problems import nearest

    names = [str(item.metadata["name"]) for item in fields(Settings)]
    names += [f"{item.metadata['name']}_FILE" for item in fields(Settings) if item.metadata["secret"]]
    strange = sorted(name for name in given if name.startswith("FLOE_") and name not in names)
    return tuple((name, nearest(name, names)) for name in strange if not values.is_for_others(name))


def secret_names() -> tuple[str, ...]:
    """The environment names whose values are secret."""
    return tuple(str(item.metadata["name"]) for item in fields(Settings) if item.metadata["secret"])


def _look_up(
    item: "Field[Any]",
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    dotenv: Mapping[str, str | None],
    common: Mapping[str, str | None],
) -> tuple[str | None, str]:
    if flags.get(item.name):
        return flags[item.name], "--" + item.name.removesuffix("_token").replace("_", "-")
    name, secret = str(item.metadata["name"]), bool(item.metadata["secret"])
    for layer, suffix in ((environ, ""), (dotenv, " in .env")):
        if text := _from_layer(name, layer, secret):
            return text, name + suffix
    key = str(item.metadata["common"])
    return (common.get(key) or None, f"common: {key}") if key else (None, "")


def _from_layer(name: str, layer: Mapping[str, str | None], secret: bool) -> str | None:
    text, path = layer.get(name), layer.get(f"{name}_FILE") if secret else None
    if text and path:
        raise ConfigurationError(f"{name} and {name}_FILE are both set: keep one of them")
    if not path:
        return text or None
    try:
        content = Path(path).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigurationError(f"{name}_FILE: cannot read {path}: {reason}") from None
    if not content:
        raise ConfigurationError(f"{name}_FILE: {path} is empty")
    return content


def _checked(item: "Field[Any]", text: str, place: str) -> object:
    try:
        return item.metadata["parse"](text.strip())
    except ValueError as error:
        what = "the value given" if item.metadata["secret"] else repr(text)
        raise ConfigurationError(f"{place}: {what} does not fit, it takes {error}") from None


def _check_together(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigurationError("--tls-cert and --tls-key go together: give both, or neither")
    if settings.store_type == "postgres" and not settings.database_url:
        raise ConfigurationError("store-type postgres needs FLOE_DATABASE_URL: postgresql://USER:PASSWORD@HOST/NAME")
    if settings.store_type in ("memory", "local") and settings.database_url:
        raise ConfigurationError(f"store-type {settings.store_type} and FLOE_DATABASE_URL exclude each other: keep one")
