"""Checks claims about names and instances of pipes on this system; each function returns what it observed."""

from functools import partial

from pipectl.core.constants import Access, OpenMode, PipeMode, ShareMode
from pipectl.core.errors import UnsupportedError
from pipectl.core.inventory.directory import list_pipes
from pipectl.core.names import LOCAL_PREFIX
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file, create_named_pipe
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32.queries import get_local_info, get_named_pipe_info

from .fixture import FIRST, Fixture, NotTried, code_of, codes

_ALIASES = r"SYSTEM\CurrentControlSet\Services\Npfs\Aliases"


def first_instance(fixture: Fixture) -> str:
    """Return the code of creating another instance with FILE_FLAG_FIRST_PIPE_INSTANCE."""
    pipe = fixture.name()
    with create_named_pipe(pipe, FIRST):
        return str(code_of(create_named_pipe, pipe, FIRST))


def directory(fixture: Fixture) -> str:
    """Return how many instances the directory lists for a pipe with one and with two."""
    pipe = fixture.name()
    bare = pipe.removeprefix(LOCAL_PREFIX)

    def instances() -> int:
        return sum(entry.instances for entry in list_pipes() if entry.name == bare)

    with create_named_pipe(pipe):
        try:
            alone = instances()
        except UnsupportedError:
            return "cannot be listed"
        with create_named_pipe(pipe):
            return codes(alone, instances())


def alias(_fixture: Fixture) -> str:
    """Return what the registry and the directory contain about `lsarpc`."""
    aliases = npfs_aliases()
    if "lsarpc" not in aliases:
        raise NotTried("the registry has no alias of this name")
    try:
        is_listed = any(entry.name.lower() == "lsarpc" for entry in list_pipes())
    except UnsupportedError as error:
        raise NotTried("the directory of pipes cannot be listed") from error
    return f"an alias, {'' if is_listed else 'not '}listed"


def npfs_aliases() -> list[str]:
    """Return the names that are aliases of other pipes, from the registry."""
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _ALIASES) as key:
            values = [winreg.EnumValue(key, index) for index in range(winreg.QueryInfoKey(key)[1])]
    except OSError:
        return []
    return [name.lower() for _, names, kind in values if kind == winreg.REG_MULTI_SZ for name in names]


def instance_of_a_lingering_client(fixture: Fixture) -> str:
    """Return the results of creating an instance while a client of a closed one is still connected, and after that."""
    pipe = fixture.name()
    create = partial(create_named_pipe, pipe, max_instances=1)
    with create() as server, create_file(pipe):
        server.close()
        lingering = code_of(create)
    gone = code_of(create)
    return f"{lingering}, then {gone or 'created'}"


def pipe_without_server(fixture: Fixture) -> str:
    """Return the codes of a wait and of an open while only a client has the pipe open."""
    pipe = fixture.name()
    with create_named_pipe(pipe) as server, create_file(pipe):
        server.close()
        return codes(code_of(winapi.WaitNamedPipeW, pipe, 1), code_of(create_file, pipe))


def names_to_wait_for(fixture: Fixture) -> str:
    """Return the codes of waits for two spellings of a name."""
    pipe = fixture.name()
    with create_named_pipe(pipe):
        spellings = (pipe, pipe.replace("\\\\.\\", "\\\\?\\", 1))
        return codes(*(code_of(winapi.WaitNamedPipeW, name, 1) for name in spellings))


def name_below_a_pipe(fixture: Fixture) -> str:
    """Return the codes of opening and creating a name below that of a pipe."""
    pipe = fixture.name()
    with create_named_pipe(pipe):
        below = rf"{pipe}\below"
        return codes(code_of(create_file, below), code_of(create_named_pipe, below))


def place_of_an_instance(fixture: Fixture) -> str:
    """Return which instance a client gets if one was used before and a newer one was not."""
    pipe = fixture.name()
    with create_named_pipe(pipe) as first, create_named_pipe(pipe) as second:
        create_file(pipe).close()
        winapi.DisconnectNamedPipe(first)
        with Overlapped(first) as operation:
            operation.start(winapi.ConnectNamedPipe)
            with create_file(pipe):
                states = {get_local_info(first).state: "the first", get_local_info(second).state: "the second"}
                return states.get("connected", "neither")


def reject_remote(fixture: Fixture) -> str:
    """Return whether the kernel knows that a pipe rejects remote clients."""
    with create_named_pipe(fixture.name()) as server:
        return "rejects remote clients" if get_local_info(server).rejects_remote else "accepts remote clients"


def unlimited(fixture: Fixture) -> str:
    """Return the instance limit that both functions report for a pipe without a limit."""
    with create_named_pipe(fixture.name()) as server:
        limits = (get_named_pipe_info(server).max_instances, get_local_info(server).max_instances)
    return ", ".join("unlimited" if limit is None else str(limit) for limit in limits)


def localhost(fixture: Fixture) -> str:
    """Return whether pipes with and without PIPE_REJECT_REMOTE_CLIENTS accept a client over SMB."""
    share = ShareMode.READ | ShareMode.WRITE

    def open_remotely(mode: PipeMode) -> int:
        pipe = fixture.name()
        with create_named_pipe(pipe, OpenMode.DUPLEX | OpenMode.OVERLAPPED, mode):
            remote = pipe.replace("\\\\.\\", "\\\\localhost\\", 1)
            return code_of(create_file, remote, Access.GENERIC_READ, share=share)

    let_in = open_remotely(PipeMode.MESSAGE)
    if let_in:
        raise NotTried(f"SMB does not reach a pipe that accepts remote clients: {let_in}")
    return f"{'rejected' if open_remotely(PipeMode.MESSAGE | PipeMode.REJECT_REMOTE_CLIENTS) else 'let in'}, let in"
