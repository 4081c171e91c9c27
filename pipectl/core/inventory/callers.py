"""Which process has connected by TCP, and whether an ACL would grant it access: a TCP port has no ACL."""

from functools import cached_property

from pipectl.core.constants import Access
from pipectl.core.errors import PipeAccessError
from pipectl.core.models import Process
from pipectl.core.security import sddl, tokens
from pipectl.core.security.access_check import client_rights, judge
from pipectl.core.security.descriptors import PipeSecurity
from pipectl.core.win32 import tcptable
from pipectl.core.win32.winsock import Socket

from .processes import describe


class TcpClient:
    """A TCP client. Its process is the one that has its end of the connection; `pid` is 0 if that is unknown."""

    computer: str | None = None

    def __init__(self, pid: int | None) -> None:
        self.pid = pid or 0

    @cached_property
    def process(self) -> Process:
        """The client's process, with the facts available to this user; may take seconds."""
        return describe(self.pid) if self.pid else Process(0)


class Admission:
    """Accepts clients to which an ACL grants read and write access, by the token of the connection's process.

    A client whose token cannot be read is rejected, unless the ACL is open to everyone. A process ID is no proof: the
    process may have passed its socket to another one, or have ended since.
    """

    def __init__(self, security: PipeSecurity) -> None:
        self._descriptor = sddl.parse(security.sddl)
        self._is_open = security.lets_everyone_in()

    def __call__(self, socket: Socket) -> TcpClient:
        """Return the client at the other end of a connection; raises PipeAccessError if it must be rejected."""
        remote = socket.remote
        pid = tcptable.process_of(remote, socket.local)
        if self._is_open:
            return TcpClient(pid)
        if pid is None:
            raise _refused(f"{remote}: the process of this connection is unknown")
        try:
            token = tokens.of_process(pid)
        except PipeAccessError:
            raise _refused(f"{remote}: process {pid} belongs to another user") from None
        if not judge(self._descriptor, token, client_rights(Access.DUPLEX)).is_possible:
            raise _refused(f"{remote}: the ACL does not allow the user of process {pid}")
        return TcpClient(pid)


def _refused(reason: str) -> PipeAccessError:
    return PipeAccessError(reason)
