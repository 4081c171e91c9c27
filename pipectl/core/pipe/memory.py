"""Limits the memory of all clients of a server together: clients that need more than is left wait, smallest first.

`max_message` bounds one message and never their sum: a thousand clients with half a message each would be hundreds of
megabytes. A message is written in one piece, so what was granted is soon given back; and one client always gets what it
needs, however much that is.
"""

from typing import Protocol


class Holder(Protocol):
    """What memory is granted to: a client."""

    def go_on(self) -> None:
        """Go on with what was waited for."""


class Memory:
    """Grants bytes to clients, in one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        # By who holds it; empty while nobody does, which is cheap to ask.
        self.held: dict[Holder, int] = {}
        self._waiting: dict[Holder, int] = {}
        self._sum = 0

    def take(self, holder: Holder, size: int) -> bool:
        """Grant bytes, beside what the client holds; or have it wait until `go_on` is called."""
        if self._sum + size > self._most and self.held.keys() - {holder}:
            self._waiting[holder] = size
            return False
        self.held[holder] = self.held.get(holder, 0) + size
        self._sum += size
        return True

    def give_back(self, holder: Holder) -> None:
        """Take back all that a client holds, or waits for, and let others go on."""
        self._waiting.pop(holder, None)
        self._sum -= self.held.pop(holder, 0)
        for waiting, size in sorted(self._waiting.items(), key=lambda item: item[1]):
            if not self.take(waiting, size):
                return
            del self._waiting[waiting]
            waiting.go_on()
