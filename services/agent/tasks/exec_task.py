"""exec: the author's command, in the author's environment (FLOWS §6 exec, N-01, N-06)."""

from pathlib import Path

from services.agent.plain_file import read_plain
from services.agent.tasks.paths import made_inside
from services.agent.tasks.plan import TaskEnd, TaskPlace, TaskPlan, TaskSettings
from services.agent.tasks.surroundings import base_environment, facts, write_options
from shared.bus.messages import TaskOffered
from shared.flows.command import exec_command
from shared.flows.opts import floe_env, names_of
from shared.flows.outputs import OUTPUT_LIMIT, BadOutputs, parse_outputs

OUTPUT_FILE = "output"


def plan(offer: TaskOffered, place: TaskPlace, settings: TaskSettings) -> TaskPlan:
    """The command as written: whoever starts it looks a bare name up on `env`'s PATH. Raises WrongOption, TaskError."""
    options, omitted = floe_env(offer.opts)
    own = {**facts(offer, place), **options}
    definition = {**offer.definition, "env": list(offer.env)}
    command = exec_command(definition, offer.opts, str(place.workspace), base_environment(settings), own)
    cwd = made_inside(place.workspace, Path(command.cwd), "sub-dir")
    write_options(offer, place)
    (place.scratch / OUTPUT_FILE).touch(mode=0o600)
    lines = [f"in dir: {cwd}", command.shown]
    if omitted:
        lines.append(f"note: only in the file that FLOE_OPTS names: {names_of(omitted)}")
    preamble = "".join(line + "\n" for line in lines).encode(errors="replace")
    return TaskPlan(command.argv, command.env, cwd, preamble)


def end(place: TaskPlace, status: int) -> TaskEnd:
    """The status with the outputs that the command wrote; outputs that cannot be read are an error (FLOWS N-06)."""
    lines = [f"exited with status: {status}"] if status else []
    try:
        return TaskEnd(status, opts=parse_outputs(_read(place.scratch / OUTPUT_FILE)), trailer=_bytes(lines))
    except BadOutputs as error:
        return TaskEnd(status, str(error), trailer=_bytes([*lines, str(error)]))


def _read(path: Path) -> bytes:
    """What is in the file, cut where it is already too long; nothing when the command removed it."""
    try:
        return read_plain(path, OUTPUT_LIMIT + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise BadOutputs(f"FLOE_OUTPUT cannot be read: {error.strerror}") from error


def _bytes(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()
