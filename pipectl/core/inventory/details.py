"""All facts about a pipe as records of plain values; unknown facts are absent, never guessed."""

from typing import Any

from pipectl.core.constants import PipeMode, ReadMode, WaitMode, WinError
from pipectl.core.errors import error_for, if_allowed
from pipectl.core.models import PipeEntry
from pipectl.core.names import short, upper
from pipectl.core.pipe.availability import Availability, probe
from pipectl.core.security import tokens
from pipectl.core.security.access_check import judge
from pipectl.core.security.accounts import account_name
from pipectl.core.security.descriptors import SecurityInfo, get_security
from pipectl.core.security.sddl import Descriptor, dacl_in_words, label_in_words
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import (
    get_local_info,
    get_named_pipe_handle_state,
    get_named_pipe_info,
    set_named_pipe_handle_state,
)

from .directory import known_pipes, pid_hint
from .peers import server_of

Record = dict[str, Any]


def inspect(pipe: Handle) -> Record:
    """Return a pipe's type, limits, state and server, its access control, and the access of this process."""
    made = get_named_pipe_info(pipe)
    local = if_allowed(lambda: get_local_info(pipe)._asdict()) or {}
    record: Record = {
        "pipe": pipe.name,
        "type": "message" if made.is_message_type else "byte",
        "direction": local.get("configuration"),
        "state": local.get("state"),
        "instances": local.get("current_instances"),
        **limit(made.max_instances),
        "out_buffer_size": made.out_buffer_size,
        "in_buffer_size": made.in_buffer_size,
        "rejects_remote": local.get("rejects_remote"),
        "inbound_quota": local.get("inbound_quota"),
        "outbound_quota": local.get("outbound_quota"),
        "read_data_available": local.get("read_data_available"),
        "write_quota_available": local.get("write_quota_available"),
        "handle": if_allowed(handle_state, pipe),
        "server": if_allowed(lambda: server_of(pipe)._asdict()),
    }
    security = if_allowed(get_security, pipe)
    return {
        **record,
        "security": security and if_allowed(_security, security),
        "you_may": security and if_allowed(_you_may, security),
    }


def glance(pipe: str) -> Record:
    """Return the facts about a pipe that are available without opening it; raises PipeNotFoundError."""
    state = probe(pipe)
    if state is Availability.ABSENT:
        raise error_for(WinError.FILE_NOT_FOUND, "pipe not found", "WaitNamedPipeW", pipe)
    found: Record = {"pipe": pipe, "is": state, "pid_hint": pid_hint(short(pipe))}
    for entry in known_pipes():
        if upper(entry.name) == upper(short(pipe)):
            found |= {name: value for name, value in listing(entry).items() if name != "name"}
    return found


def listing(entry: PipeEntry) -> Record:
    """Return the entry of a pipe in the directory of pipes."""
    return {
        "name": entry.name,
        "instances": entry.instances,
        **limit(entry.max_instances),
        "pid_hint": pid_hint(entry.name),
    }


def handle_state(pipe: Handle) -> Record:
    """Return a handle's read and wait mode, and collection settings and the user's name if Windows reports them."""
    state = get_named_pipe_handle_state(pipe)
    collection = if_allowed(get_named_pipe_handle_state, pipe, collection_data=True)
    user = if_allowed(get_named_pipe_handle_state, pipe, user_name=True)
    return {
        "read_mode": ReadMode.MESSAGE if state.is_message_mode else ReadMode.BYTE,
        "wait_mode": WaitMode.NOWAIT if state.is_nowait else WaitMode.WAIT,
        "instances": state.current_instances,
        "collect_count": collection and collection.max_collection_count,
        "collect_timeout": collection and collection.collect_data_timeout,
        "user": user and user.user_name,
    }


def change_state(
    pipe: Handle,
    *,
    read_mode: ReadMode | None = None,
    wait_mode: WaitMode | None = None,
    collect_count: int | None = None,
    collect_timeout: float | None = None,
) -> None:
    """Set a handle's read and wait mode; None leaves a value unchanged."""
    mode = None
    if read_mode or wait_mode:  # Windows sets both at once
        now = get_named_pipe_handle_state(pipe)
        is_message = now.is_message_mode if read_mode is None else read_mode is ReadMode.MESSAGE
        is_nowait = now.is_nowait if wait_mode is None else wait_mode is WaitMode.NOWAIT
        mode = (PipeMode.READ_MESSAGE if is_message else PipeMode.READ_BYTE) | (
            PipeMode.NOWAIT if is_nowait else PipeMode.WAIT
        )
    if (mode, collect_count, collect_timeout) != (None, None, None):
        set_named_pipe_handle_state(
            pipe, mode, max_collection_count=collect_count, collect_data_timeout=collect_timeout
        )


def _security(info: SecurityInfo) -> Record:
    return {
        "owner": info.owner_name or info.owner,
        "group": info.group_name or info.group,
        "access": None if info.dacl is None else dacl_in_words(info.dacl, account_name),
        "integrity": info.label and label_in_words(info.label),
        "sddl": info.sddl or None,
    }


def _you_may(info: SecurityInfo) -> str | None:
    """Return the access that the ACL and the label grant to this process; None if there is no ACL to check."""
    if info.dacl is None:
        return None
    return judge(Descriptor(info.owner, info.group, info.dacl, info.label), tokens.current()).in_words()


def limit(instances: int | None) -> Record:
    """Return a record of the maximum number of instances, or of the fact that there is no limit."""
    return {"unlimited": True} if instances is None else {"max_instances": instances}
