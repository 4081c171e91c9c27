"""The result types for facts about pipes: plain, frozen values without handles."""

import ntpath
from typing import NamedTuple


class PipeInfo(NamedTuple):
    """The result of GetNamedPipeInfo for the pipe behind a handle; sizes are in bytes (0 = the system's choice)."""

    is_server_end: bool
    is_message_type: bool
    out_buffer_size: int
    in_buffer_size: int
    # None: as many as the system allows.
    max_instances: int | None


class HandleState(NamedTuple):
    """The result of GetNamedPipeHandleState for a handle: its read mode and wait mode.

    The collection values, in bytes and seconds, exist only at the client end of a remote pipe; the user's name only at
    a server end that has read from a client that allows impersonation. Each is None unless it was requested.
    """

    is_message_mode: bool
    is_nowait: bool
    current_instances: int
    max_collection_count: int | None = None
    collect_data_timeout: float | None = None
    user_name: str | None = None


class LocalInfo(NamedTuple):
    """FILE_PIPE_LOCAL_INFORMATION: the kernel's facts about one instance; quotas and available data in bytes."""

    is_message_type: bool
    rejects_remote: bool
    configuration: str
    max_instances: int | None
    current_instances: int
    inbound_quota: int
    read_data_available: int
    outbound_quota: int
    write_quota_available: int
    state: str
    is_server_end: bool


class Peek(NamedTuple):
    """Unread data, which was not consumed; counts in bytes."""

    data: bytes
    # All unread data in the pipe, of all messages.
    available: int
    # The part of the first message after `data`; 0 on a byte pipe.
    left_in_message: int


class Process(NamedTuple):
    """A process at one end of a pipe; facts that this user may not know are None. `services` are those it hosts."""

    pid: int
    image: str | None = None
    user: str | None = None
    session: int | None = None
    services: tuple[str, ...] = ()

    @property
    def program(self) -> str | None:
        """The file name of the image."""
        return self.image and ntpath.basename(self.image)


class PipeEntry(NamedTuple):
    """A pipe in the directory of pipes."""

    name: str
    instances: int
    # None: as many as the system allows.
    max_instances: int | None
