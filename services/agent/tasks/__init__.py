"""Task types: what an offer becomes (`plan`), and what its process's end means (`end`). The core calls these two.

A new type is one entry here, and a program under `programs` when no command of the author's is run.
"""

from collections.abc import Callable, Mapping

from services.agent.tasks import exec_task, fetch_task, git_task, own
from services.agent.tasks.plan import TaskEnd, TaskError, TaskPlace, TaskPlan, TaskSettings
from shared.bus.messages import TaskOffered
from shared.flows.expand import WrongOption

__all__ = ["TaskEnd", "TaskError", "TaskPlace", "TaskPlan", "TaskSettings", "end", "plan"]

_PLANS: Mapping[str, Callable[[TaskOffered, TaskPlace, TaskSettings], TaskPlan]] = {
    "exec": exec_task.plan,
    "fetch": fetch_task.plan,
    "git-checkout": git_task.plan_checkout,
    "git-merge": git_task.plan_merge,
}


def plan(offer: TaskOffered, place: TaskPlace, settings: TaskSettings) -> TaskPlan:
    """The one process that does this offer. Writes its files into `place.scratch`; calling again writes them again.

    Raises TaskError when the node cannot be executed as asked (FLOWS N-04); the text is the reason.
    """
    make = _PLANS.get(offer.task)
    if make is None:
        raise TaskError(f"unknown task type {offer.task!r}: this agent knows {', '.join(_PLANS)}")
    try:
        return make(offer, place, settings)
    except WrongOption as error:
        raise TaskError(str(error)) from error
    except OSError as error:
        raise TaskError(f"cannot prepare {offer.node}: {error}") from error


def end(offer: TaskOffered, place: TaskPlace, own_program: bool, exit_status: int) -> TaskEnd:
    """What the process's end means. `exit_status` is 128+N (or -N) when signal N ended it, 126/127 when it never began.

    Reads what the process left in `place.scratch` and changes nothing: calling again gives the same.
    """
    status = 128 - exit_status if exit_status < 0 else exit_status
    return own.end(offer, place, status) if own_program else exec_task.end(place, status)
