"""Who is speaking: the bearer token of a request, and patience with wrong ones that ends (RELIABILITY §4)."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from shared.remembered import Remembered

Role = Literal["viewer", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller. `token` names the token that was shown, never its value."""

    user: str
    role: Role
    token: str


class Authenticator:
    """Knows the tokens. Today there is one: the administrator's."""

    def __init__(self, admin_token: str) -> None:
        self._admin = _digest(admin_token)

    def principal(self, token: str) -> Principal | None:
        """Who holds this token; None when nobody does. Takes the same time for every wrong one."""
        return Principal("admin", "admin", "admin") if hmac.compare_digest(_digest(token), self._admin) else None


def bearer(header: str) -> str | None:
    """The token of an `Authorization` header (RFC 6750); None when it is of another scheme or empty."""
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Patience:
    """A bucket of wrong tokens for each address: `capacity` at once, one more every `refill_seconds`.

    An address whose bucket is empty is not heard, so guessing ends there; a token that was right from that address
    before is, so that one careless script does not lock its neighbours out. Both memories are bounded.
    """

    def __init__(
        self,
        capacity: int = 20,
        refill_seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
        most_addresses: int = 10_000,
    ) -> None:
        self._capacity = capacity
        self._refill = refill_seconds
        self._clock = clock
        self._buckets: Remembered[str, tuple[float, float]] = Remembered(most_addresses)
        self._good: Remembered[tuple[str, bytes], bool] = Remembered(most_addresses)

    def refuses(self, address: str, token: str) -> int:
        """Seconds to wait before this token is looked at; 0: now."""
        if self._buckets.get(address) is None or self._good.get((address, _digest(token))):
            return 0
        left = self._left(address)
        return 0 if left >= 1 else max(1, round((1 - left) * self._refill))

    def failed(self, address: str) -> None:
        """A wrong token came from there."""
        self._buckets.put(address, (self._left(address) - 1, self._clock()))

    def succeeded(self, address: str, token: str) -> None:
        """A right token came from there."""
        self._good.put((address, _digest(token)), True)

    def _left(self, address: str) -> float:
        left, at = self._buckets.get(address) or (float(self._capacity), self._clock())
        return min(float(self._capacity), left + (self._clock() - at) / self._refill)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
