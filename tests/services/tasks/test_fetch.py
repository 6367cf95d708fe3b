"""FLOWS §6 fetch: what comes, from where, how often, and where it goes."""

import base64
import fcntl
import hashlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.agent import tasks
from tests.services.tasks.conftest import Doing
from tests.services.tasks.site import Site
from tests.waiting import wait_until_blocking

Refused = Callable[..., str]
BODY = bytes(range(256)) * 1000


def sha256(body: bytes = BODY) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_file_comes_under_its_own_name_into_the_workspace(do: Doing, site: Site) -> None:
    outcome = do("fetch", {"url": site.put("/a/tool%20x.tgz", BODY), "checksum": sha256()})
    assert (outcome.status, outcome.error, dict(outcome.opts)) == (0, None, {})
    assert (do.ws / "tool x.tgz").read_bytes() == BODY
    assert f"{len(BODY)} of {len(BODY)} bytes (100%)\n" in outcome.log


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("dir/", "dir/f.bin"),
        ("./x/y", "x/y"),
        ("x/y", "x/y"),
        ("{{ws}}/z/", "z/f.bin"),
        (".", "f.bin"),
        ("v-{{ opts.version }}/", "v-7/f.bin"),
    ],
)
def test_the_location_says_where_the_file_goes(do: Doing, site: Site, location: str, path: str) -> None:
    do("fetch", {"url": site.put("/f.bin", BODY), "checksum": sha256(), "location": location}, opts={"version": 7})
    assert (do.ws / path).read_bytes() == BODY


@pytest.mark.parametrize("location", ["../x", "/etc/x", "a/../../x", "-x"])
def test_a_location_outside_the_workspace_is_an_error(refused: Refused, site: Site, location: str) -> None:
    assert "location" in refused("fetch", {"url": site.put("/f", BODY), "location": location})
    assert site.asked == []


def test_a_symbolic_link_does_not_lead_a_location_out(do: Doing, refused: Refused, site: Site, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (do.ws / "link").symlink_to(tmp_path / "outside")
    assert "leads out" in refused("fetch", {"url": site.put("/f", BODY), "location": "link/"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_symbolic_link_in_the_files_place_is_replaced_not_followed(do: Doing, site: Site, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (do.ws / "f").symlink_to(tmp_path / "precious")
    do("fetch", {"url": site.put("/f", BODY), "checksum": sha256()})
    assert (tmp_path / "precious").read_text() == "mine"
    assert (do.ws / "f").read_bytes() == BODY
    assert not (do.ws / "f").is_symlink()


def test_what_was_there_is_replaced(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY)
    for _ in range(2):
        do("fetch", {"url": url, "checksum": sha256()})
    assert [path.name for path in do.ws.iterdir()] == ["f"]


def test_a_directory_in_the_files_place_is_an_error(do: Doing, refused: Refused, site: Site) -> None:
    (do.ws / "d").mkdir()
    assert "is a directory: end it with /" in refused("fetch", {"url": site.put("/f", BODY), "location": "d"})


def test_a_complete_file_whose_checksum_holds_is_not_fetched_again(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY)
    for location in ("a", "b"):
        outcome = do("fetch", {"url": url, "checksum": sha256(), "location": location})
    assert len(site.asked) == 1
    assert "in the cache, checksum holds\n" in outcome.log
    assert (do.ws / "a").stat().st_ino == (do.ws / "b").stat().st_ino


def test_a_cached_file_that_somebody_changed_is_fetched_again(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY)
    for checksum in (sha256(), ""):
        do("fetch", {"url": url, "checksum": checksum})
        for cached in do.place.cache.glob("*/file"):
            cached.chmod(0o644)
            cached.write_bytes(b"changed")
        do("fetch", {"url": url, "checksum": checksum})
        assert (do.ws / "f").read_bytes() == BODY


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5", "sha512"])
def test_the_algorithm_follows_from_the_checksums_length(do: Doing, site: Site, algorithm: str) -> None:
    digits = hashlib.new(algorithm, BODY).hexdigest()
    for text in (digits, digits.upper(), f"{digits}  f.bin", f"{digits} *f.bin\n"):
        assert do("fetch", {"url": site.put("/f", BODY), "checksum": text}).status == 0
    assert do("fetch", {"url": site.put("/f", BODY), "checksum": digits, "checksum-algo": algorithm}).status == 0


def test_a_wrong_algorithm_is_an_error_that_names_it(refused: Refused, site: Site) -> None:
    url = site.put("/f", BODY)
    assert "'crc32' is unknown" in refused("fetch", {"url": url, "checksum": sha256(), "checksum-algo": "crc32"})
    assert "not of md5" in refused("fetch", {"url": url, "checksum": sha256(), "checksum-algo": "md5"})
    assert "'xyz' is not the hex form" in refused("fetch", {"url": url, "checksum": "xyz"})
    assert site.asked == []


def test_a_wrong_checksum_is_an_error_and_the_file_is_removed(do: Doing, refused: Refused, site: Site) -> None:
    url = site.put("/f", BODY)
    reason = refused("fetch", {"url": url, "checksum": "0" * 64})
    assert reason == f"{url}: sha256 is {sha256()}, not {'0' * 64}; the file is removed"
    assert list(do.ws.iterdir()) == []
    assert [path.name for path in do.place.cache.glob("*/*")] == ["lock"]


def test_the_reason_is_last_in_the_log(do: Doing, site: Site) -> None:
    outcome = do("fetch", {"url": site.url("/nothing"), "checksum": sha256()})
    assert outcome.error == f"{site.url('/nothing')}: 404 Not Found"
    assert outcome.log.endswith(f"error: {outcome.error}\n")
    assert outcome.status is None


def test_without_a_checksum_there_is_a_warning_and_the_server_is_asked_again(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY, etag='"v1"')
    assert "warning: no checksum" in do("fetch", {"url": url}).log
    outcome = do("fetch", {"url": url, "location": "again"})
    assert "the server has nothing newer\n" in outcome.log
    assert site.asked[1].headers["if-none-match"] == '"v1"'
    assert (do.ws / "again").read_bytes() == BODY
    site.put("/f", b"newer", etag='"v2"')
    do("fetch", {"url": url})
    assert (do.ws / "f").read_bytes() == b"newer"


def test_a_file_without_checksum_and_validator_is_fetched_each_time(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY)
    do("fetch", {"url": url})
    site.put("/f", b"newer")
    do("fetch", {"url": url})
    assert (do.ws / "f").read_bytes() == b"newer"


@pytest.mark.parametrize("checksum", ["", sha256()])
def test_a_download_that_breaks_off_goes_on_where_it_was(do: Doing, site: Site, checksum: str) -> None:
    outcome = do("fetch", {"url": site.put("/f", BODY, etag='"v1"', cut_after=100_000), "checksum": checksum})
    assert outcome.error is None, outcome.log
    assert (do.ws / "f").read_bytes() == BODY
    assert site.asked[1].headers["range"] == "bytes=100000-"
    assert site.asked[1].headers["if-range"] == '"v1"'
    assert "going on from byte 100000" in outcome.log


def test_a_fetch_that_was_killed_is_gone_on_with_by_the_next(do: Doing, site: Site) -> None:
    hold = threading.Event()
    definition = {"url": site.put("/f", BODY, hold=hold), "checksum": sha256()}
    process = do.start(do.plan("fetch", definition))
    wait_until_blocking(lambda: list(do.place.cache.glob("*/part")), what="the body is waited for")
    process.kill()
    process.communicate()
    hold.set()
    next(do.place.cache.glob("*/part")).write_bytes(BODY[:5000])
    assert do("fetch", definition).status == 0
    assert site.asked[1].headers["range"] == "bytes=5000-"
    assert (do.ws / "f").read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(do: Doing, site: Site) -> None:
    url = site.put("/f", BODY, etag='"v1"', cut_after=1000)
    site.pages["/f"].ranges = False
    assert do("fetch", {"url": url}).error is None
    assert (do.ws / "f").read_bytes() == BODY


def test_a_part_of_another_file_is_found_out_by_the_checksum(do: Doing, site: Site) -> None:
    definition = {"url": site.put("/f", BODY), "checksum": sha256()}
    do("fetch", definition)
    entry = next(do.place.cache.glob("*"))
    (entry / "file").unlink()
    (entry / "part").write_bytes(b"other" * 10)
    outcome = do("fetch", definition)
    assert "starting over" in outcome.log
    assert (do.ws / "f").read_bytes() == BODY


def test_a_part_longer_than_the_file_is_thrown_away(do: Doing, site: Site) -> None:
    definition = {"url": site.put("/f", BODY), "checksum": sha256()}
    do("fetch", definition)
    entry = next(do.place.cache.glob("*"))
    (entry / "file").unlink()
    (entry / "part").write_bytes(BODY + b"more")
    site.pages["/f"].status = 200
    site.pages["/f"].ranges = False
    assert do("fetch", definition).status == 0


def test_concurrent_fetches_of_one_url_download_once(do: Doing, site: Site) -> None:
    for checksum in (sha256(), ""):
        site.asked.clear()
        path = f"/f{len(checksum)}"
        hold = threading.Event()
        url = site.put(path, BODY, hold=hold)
        places = [do.new_place(f"{path[1:]}-{n}") for n in range(4)]
        plans = [tasks.plan(do.offer("fetch", {"url": url, "checksum": checksum}), p, do.settings) for p in places]
        processes = [do.start(plan) for plan in plans]
        wait_until_blocking(lambda: site.asked, what="one asked")
        for process in processes:
            wait_until_blocking(lambda p=process: _waits_or_downloads(p.pid), what="all are at the lock")
        hold.set()
        logs = [process.communicate(timeout=30)[0].decode() for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, logs
        assert len(site.asked) == 1
        assert sum("waiting for it" in log for log in logs) == 3
        assert all((place.workspace / path[1:]).read_bytes() == BODY for place in places)


def _waits_or_downloads(pid: int) -> bool:
    """Its lock is open: it holds it, or waits for it."""
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    return any(link.endswith("/lock") for link in links)


def test_a_fetch_that_dies_lets_go_of_its_lock(do: Doing, site: Site) -> None:
    hold = threading.Event()
    definition = {"url": site.put("/f", BODY, hold=hold), "checksum": sha256()}
    process = do.start(do.plan("fetch", definition))
    wait_until_blocking(lambda: site.asked, what="it asked")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    with open(next(do.place.cache.glob("*/lock"))) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    end = tasks.end(do.offer("fetch", definition), do.place, True, process.returncode)
    assert (end.status, end.error) == (128 + signal.SIGTERM, None)


def test_an_unreachable_server_is_named(refused: Refused) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        assert refused("fetch", {"url": url}) == f"cannot reach {url}: [Errno 111] Connection refused"
    assert "cannot reach http://no-such-host.invalid/x" in refused("fetch", {"url": "http://no-such-host.invalid/x"})


def test_redirects_are_followed_so_far(do: Doing, refused: Refused, site: Site) -> None:
    site.put("/a", b"", location="/b")
    site.put("/b", BODY)
    assert do("fetch", {"url": site.url("/a"), "checksum": sha256()}).status == 0
    assert (do.ws / "a").read_bytes() == BODY
    site.put("/loop", b"", location="/loop?x")
    assert "/loop" in refused("fetch", {"url": site.url("/loop")})
    site.put("/file", b"", location="file:///etc/passwd")
    assert "is not allowed" in refused("fetch", {"url": site.url("/file")})
    site.put("/ftp", b"", location="ftp://127.0.0.1/x")
    assert "not followed" in refused("fetch", {"url": site.url("/ftp")})


def test_credentials_stay_with_their_host_and_out_of_the_log(do: Doing, site: Site) -> None:
    site.put("/a", b"", location="/b")
    site.put("/b", b"", location=site.url("/c", host="localhost"))
    site.put("/c", BODY)
    url = f"http://me:pass%21word@127.0.0.1:{site.port}/a"
    outcome = do("fetch", {"url": url, "checksum": sha256()})
    assert outcome.status == 0, outcome.log
    sent = [asked.headers.get("authorization") for asked in site.asked]
    mine = "Basic " + base64.b64encode(b"me:pass!word").decode()
    assert sent == [mine, mine, None]
    assert "pass" not in outcome.log


def test_a_body_without_a_length_is_taken(do: Doing, site: Site) -> None:
    assert do("fetch", {"url": site.put("/f", BODY, chunked=True), "checksum": sha256()}).status == 0
    assert do("fetch", {"url": site.put("/empty", b"")}).status == 0


def test_a_file_url_is_taken_only_where_the_agent_allows_it(do: Doing, refused: Refused, tmp_path: Path) -> None:
    source = tmp_path / "own file"
    source.write_bytes(BODY)
    definition = {"url": f"file://{tmp_path}/own%20file", "checksum": sha256()}
    assert "file is not allowed by this agent" in refused("fetch", definition)
    do.settings = tasks.TaskSettings(allow_file_urls=True)
    assert do("fetch", definition).status == 0
    assert (do.ws / "own file").stat().st_ino != source.stat().st_ino
    assert "not taken" in refused("fetch", {**definition, "checksum": "0" * 64, "location": "other"})
    assert not (do.ws / "other").exists()


def test_a_url_with_a_placeholder_is_https_only(do: Doing, refused: Refused, site: Site) -> None:
    do.settings = tasks.TaskSettings(allow_file_urls=True)
    for url in (site.url("/{{ opts.x }}"), "{{ opts.x }}", "file:///{{ opts.x }}"):
        assert "only https" in refused("fetch", {"url": url}, opts={"x": "file:///etc/passwd"})
    assert site.asked == []


@pytest.mark.parametrize(
    "url", ["", "-o", "ftp://h/x", "no scheme", "http://", "http://h\n/x", "http://h:x/", "data:,x"]
)
def test_a_url_that_is_none_is_an_error(refused: Refused, url: str) -> None:
    assert "url" in refused("fetch", {"url": url})


def test_a_url_comes_from_the_definition_only(refused: Refused, site: Site) -> None:
    assert refused("fetch", {}, opts={"url": site.url("/f")}) == "fetch wants `url`, and has none"


def test_progress_is_no_flood(do: Doing, site: Site) -> None:
    log = do("fetch", {"url": site.put("/f", b"x" * 20_000_000)}).log
    assert 1 <= log.count(" bytes (") <= 20
