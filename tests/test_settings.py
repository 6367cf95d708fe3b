"""API.md, "Settings": where each comes from, what wins, and what is said of a wrong one."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.setting_values import without_credentials
from shared.settings import Settings, read_settings, unknown_names

SECRET = "s3cret-not-to-be-seen"


def message_of(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({}, environ)
    return str(caught.value)


def test_the_defaults_are_those_of_the_table() -> None:
    s = read_settings({}, {})
    assert (s.database_url, s.amqp_url, s.admin_token) == (None, None, None)
    assert s.root == Path("~/.floe").expanduser()
    assert (s.tags, s.slots, s.agent_tasks) == ((), 10, 32)
    assert (s.grace_seconds, s.task_timeout_seconds, s.drain_seconds, s.lost_after_seconds) == (10, 0, 600, 300)
    assert s.log_cap_bytes == 64 * 1024 * 1024
    assert s.git_protocols == ("https", "ssh", "http", "git", "file")
    assert (s.outbound_allow, s.keep_runs_days, s.keep_workspaces, s.pass_env) == ((), 90, 10, ())
    assert (s.bind, s.base_url) == ("127.0.0.1:8080", "/api/v1")


def test_a_flag_wins_over_the_environment_over_dotenv_over_common() -> None:
    layers = {"flags": {"root": "/flag"}, "environ": {"FLOE_ROOT": "/env"}, "dotenv": {"FLOE_ROOT": "/dot"}}
    assert read_settings(**layers).root == Path("/flag")
    assert read_settings({"root": None}, layers["environ"], layers["dotenv"]).root == Path("/env")
    assert read_settings({}, {"FLOE_ROOT": ""}, layers["dotenv"]).root == Path("/dot")
    common = {"workspace-root": "/common", "base-url": "/flow/"}
    assert read_settings({}, {}, {}, common).workspace_root == Path("/common")
    assert read_settings({}, {"FLOE_WORKSPACE_ROOT": "/env"}, {}, common).workspace_root == Path("/env")
    assert read_settings({}, {}, {}, common).base_url == "/flow"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    held = read_settings({}, {"FLOE_ADMIN_TOKEN_FILE": str(tmp_path / "token")})
    assert held.admin_token == SECRET
    assert held.secrets == (SECRET,)


def test_a_secret_file_that_does_not_work_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert (
        message_of(FLOE_AMQP_URL_FILE=str(gone)) == f"FLOE_AMQP_URL_FILE: cannot read {gone}: No such file or directory"
    )
    (tmp_path / "empty").write_text("\n")
    assert "is empty" in message_of(FLOE_AMQP_URL_FILE=str(tmp_path / "empty"))
    assert "keep one" in message_of(FLOE_ADMIN_TOKEN="a", FLOE_ADMIN_TOKEN_FILE="/b")


def test_only_secrets_come_from_files() -> None:
    assert read_settings({}, {"FLOE_SLOTS_FILE": "/nowhere"}).slots == 10


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("FLOE_SLOTS", "ten", "a whole number from 1 on"),
        ("FLOE_SLOTS", "0", "a whole number from 1 on"),
        ("FLOE_SLOTS", "-1", "a whole number from 1 on"),
        ("FLOE_KEEP_RUNS_DAYS", "1.5", "a whole number from 0 on"),
        ("FLOE_GRACE_SECONDS", "soon", "seconds from 0 on"),
        ("FLOE_LOST_AFTER_SECONDS", "0", "seconds from 1 on"),
        ("FLOE_LOG_CAP_BYTES", "64 miles", "a number of bytes"),
        ("FLOE_HOST", "My Host", "a name of a-z"),
        ("FLOE_BIND", "8080", "HOST:PORT"),
        ("FLOE_BIND", "::1:8080", "HOST:PORT"),
        ("FLOE_BIND", "localhost:99999", "HOST:PORT"),
        ("FLOE_OUTBOUND_ALLOW", "10.0.0.0/99", "networks"),
        ("FLOE_GIT_PROTOCOLS", "https:ext", "ext is never allowed"),
        ("FLOE_STORE_TYPE", "ec2", "memory, local or postgres"),
        ("FLOE_LOG", "xml", "text or json"),
        ("FLOE_LOG_LEVEL", "chatty", "debug, info, warning or error"),
        ("FLOE_EPHEMERAL", "perhaps", "true or false"),
        ("FLOE_BASE_URL", "api", "a path that starts with /"),
    ],
)
def test_a_wrong_value_is_refused_with_what_fits(name: str, text: str, fits: str) -> None:
    said = message_of(**{name: text})
    assert said.startswith(f"{name}: {text!r} does not fit, it takes ")
    assert fits in said


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(ConfigurationError, match=r"^--slots: 'x' does not fit"):
        read_settings({"slots": "x"}, {})
    with pytest.raises(ConfigurationError, match=r"^FLOE_SLOTS in \.env: "):
        read_settings({}, {}, {"FLOE_SLOTS": "x"})
    with pytest.raises(ConfigurationError, match=r"^common: store-type: 'ec2' does not fit"):
        read_settings({}, {}, {}, {"store-type": "ec2"})


@pytest.mark.parametrize("name", ["FLOE_DATABASE_URL", "FLOE_AMQP_URL", "FLOE_ADMIN_TOKEN"])
def test_a_wrong_secret_is_not_shown(name: str) -> None:
    assert SECRET not in message_of(**{name: f"{SECRET} with a space"})


def test_settings_do_not_show_their_secrets() -> None:
    held = read_settings(
        {}, {"FLOE_DATABASE_URL": f"postgresql://u:{SECRET}@db/floe", "FLOE_ADMIN_TOKEN": SECRET, "FLOE_ROOT": "/r"}
    )
    assert SECRET not in repr(held)
    assert without_credentials(held.database_url or "") == "postgresql://db/floe"


def test_what_goes_together_is_checked() -> None:
    assert "give both" in message_of(FLOE_TLS_CERT="/c")
    assert "FLOE_DATABASE_URL" in message_of(FLOE_STORE_TYPE="postgres")
    assert "keep one" in message_of(FLOE_STORE_TYPE="local", FLOE_DATABASE_URL="postgresql://h/d")


@pytest.mark.parametrize(("text", "number"), [("64MiB", 64 << 20), ("1 gb", 1 << 30), ("2048", 2048), ("10k", 10240)])
def test_sizes_have_units(text: str, number: int) -> None:
    assert read_settings({}, {"FLOE_LOG_CAP_BYTES": text}).log_cap_bytes == number


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("90", 90), ("1.5", 1.5), ("1h", 3600), ("30s", 30)])
def test_seconds_have_units(text: str, seconds: float) -> None:
    assert read_settings({}, {"FLOE_DRAIN_SECONDS": text}).drain_seconds == seconds


def test_tags_are_words() -> None:
    assert read_settings({}, {"FLOE_TAGS": "linux, go,,linux"}).tags == ("linux", "go")


def test_the_host_is_this_machine_made_to_fit() -> None:
    assert read_settings({"host": "h1"}, {}).host == "h1"
    assert read_settings({}, {}).host


def test_slips_of_the_pen_are_found() -> None:
    found = unknown_names(
        {"FLOE_SLOT": "3", "FLOE_OPT_X": "y", "FLOE_SERVER": "", "FLOE_RUN": "", "PATH": "", "FLOE_AMQP_URL_FILE": ""}
    )
    assert found == (("FLOE_SLOT", "FLOE_SLOTS"),)


def test_settings_are_values() -> None:
    assert Settings(host="a") == Settings(host="a")
    with pytest.raises(AttributeError):
        Settings().slots = 3  # type: ignore[misc]
