"""Limits the total memory of all clients of a server: clients that need more than is left wait, smallest first.

`max_message` limits one message, but not their sum: a thousand clients with half a message each would take hundreds of
megabytes. A message is written in one piece, so granted memory is soon given back; and a single client always gets what
it needs, whatever the limit.
"""

from typing import Protocol


class Holder(Protocol):
    """A client that memory is granted to."""

    def go_on(self) -> None:
        """Continue, because the memory that it waited for was granted."""


class Memory:
    """Grants bytes to clients, in one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        # The bytes of each holder; empty if there is none, which is cheap to check.
        self.held: dict[Holder, int] = {}
        self._waiting: dict[Holder, int] = {}
        self._sum = 0

    def take(self, holder: Holder, size: int) -> bool:
        """Grant bytes, in addition to those that the client holds; or return False, and call `go_on` later."""
        if self._sum + size > self._most and self.held.keys() - {holder}:
            self._waiting[holder] = size
            return False
        self.held[holder] = self.held.get(holder, 0) + size
        self._sum += size
        return True

    def give_back(self, holder: Holder) -> None:
        """Take back everything that a client holds or waits for, and let others continue."""
        self._waiting.pop(holder, None)
        self._sum -= self.held.pop(holder, 0)
        for waiting, size in sorted(self._waiting.items(), key=lambda item: item[1]):
            if not self.take(waiting, size):
                return
            del self._waiting[waiting]
            waiting.go_on()
