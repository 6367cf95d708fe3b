"""Where the records of settled keys are: 16 bytes each once their segment is full."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

_MASK = (1 << 64) - 1


class SettledKeys:
    """Keys by the segment that holds their Finished record. A place is a hint: the record there says whose it is."""

    def __init__(self) -> None:
        self._recent: dict[int, dict[int, int]] = {}
        self._sealed: dict[int, tuple[array[int], array[int]]] = {}

    def add(self, key: str, segment: int, offset: int) -> None:
        """Remember where a key's end is written."""
        self._recent.setdefault(segment, {})[hash(key) & _MASK] = offset

    def places(self, key: str) -> Iterator[tuple[int, int]]:
        """Segments and offsets where the key may be."""
        number = hash(key) & _MASK
        for segment, offsets in self._recent.items():
            if number in offsets:
                yield segment, offsets[number]
        for segment, (numbers, places) in self._sealed.items():
            at = bisect_left(numbers, number)
            if at < len(numbers) and numbers[at] == number:
                yield segment, places[at]

    def seal(self, segment: int) -> None:
        """The segment is full: pack older ones, which few keys will still join."""
        for old in [number for number in self._recent if number < segment]:
            found = self._recent.pop(old)
            numbers, places = self._sealed.get(old, (array("Q"), array("Q")))
            found.update(zip(numbers, places, strict=True))
            ordered = sorted(found.items())
            self._sealed[old] = (array("Q", (n for n, _ in ordered)), array("Q", (p for _, p in ordered)))

    def drop(self, segment: int) -> None:
        """The segment is gone."""
        self._recent.pop(segment, None)
        self._sealed.pop(segment, None)
