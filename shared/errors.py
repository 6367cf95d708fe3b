"""The one tree of errors. What a message says: what happened, to which id, and what to do about it.

The api maps these to problem+json, the CLI to exit codes; nothing else decides how an error looks to a user.
"""


class FloeError(Exception):
    """The root: anything that floe says about itself. Its text is fit to be shown to a user, and holds no secret."""


class InvalidInput(FloeError):
    """What came from outside does not fit. `errors` is a list of `(loc, msg)`, may be empty."""

    def __init__(self, message: str, errors: list[tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class NotFound(FloeError):
    """The thing asked for does not exist (HTTP 404, exit 5)."""


class Conflict(FloeError):
    """The thing exists but its state does not allow this now (HTTP 409, exit 6)."""


class NotAllowed(FloeError):
    """The caller is not known, or may not do this (HTTP 401/403, exit 4)."""


class Unavailable(FloeError):
    """A broker, store or server is out of reach; the same call may succeed later (HTTP 503, exit 8)."""


class ConfigurationError(FloeError):
    """A setting or a command line cannot work as given (exit 2)."""
