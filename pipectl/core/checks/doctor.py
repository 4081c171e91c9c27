"""Why a pipe cannot be opened or created: checks in a fixed order; the first problem is the verdict.

`diagnose` is a pure function of the facts that `doctor_facts` gathers. What this user may not see is reported as
unknown, never guessed. The result of opening the pipe outweighs what the checks predict.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipectl.core.constants import WinError, symbol_of
from pipectl.core.errors import PipeError
from pipectl.core.inventory.holders import End
from pipectl.core.names import MAX_LENGTH, is_remote, near, short, upper
from pipectl.core.security.sids import ADMINISTRATORS, LOCAL_SERVICE, NETWORK_SERVICE

from .doctor_access import check_access, check_instance_right
from .doctor_model import Cause, Check, Facts, Mode, Outcome, Problem, Status, outcome_of, problem
from .doctor_names import in_the_way, known_pipe, like
from .doctor_remote import check_remote

# Problems of these checks do not prevent the attempt to open the pipe, which shows whether they are real.
_TELLING = ("exists", "access", "room", "host", "smb")
# The error codes of CreateFile if there is no such pipe, or if another pipe's name hides it.
_NOT_FOUND = (WinError.FILE_NOT_FOUND, WinError.INVALID_NAME)
# The name in `tokens.constructed` of the token that clients on other computers have.
_NETWORK_LOGON = "network"
# Only the group in the next part of the name may create pipes below this prefix.
_PROTECTED = "PROTECTEDPREFIX\\"
_PROTECTED_FOR = {
    "ADMINISTRATORS": ADMINISTRATORS,
    "LOCALSERVICE": LOCAL_SERVICE,
    "NETWORKSERVICE": NETWORK_SERVICE,
}


class Diagnosis(NamedTuple):
    """The checks, and the verdict; `problem` is the first that was found."""

    pipe: str
    outcome: Outcome
    summary: str
    checks: tuple[Check, ...]
    problem: Problem | None = None

    @property
    def error(self) -> PipeError | None:
        """The error for a program to raise; None if the pipe can be opened."""
        kind = self.outcome.error
        return (
            None if kind is None else kind(self.summary, pipe=self.pipe, code=self.problem.code if self.problem else 0)
        )


def diagnose(facts: Facts) -> Diagnosis:
    """Return the checks of a pipe, and the reason why it cannot be opened or created."""
    checks = tuple(_checks_to_serve(facts) if facts.serves else _checks_to_open(facts))
    found = next((check.problem for check in checks if check.problem), None)
    if found:
        return Diagnosis(facts.pipe, found.outcome, found.summary, checks, found)
    verb = "made" if facts.serves else "opened"
    unknown = [check.id for check in checks if check.status is Status.UNKNOWN]
    if unknown and not (facts.is_open and (facts.reply or not facts.asks)):
        summary = f"nothing wrong was found, but {_joined(unknown)} could not be checked"
        missing = Problem(Outcome.PARTIAL, Cause.NOT_SEEN, summary)
        return Diagnosis(facts.pipe, Outcome.PARTIAL, summary, checks, missing)
    whom = "" if facts.who is None else f" by {facts.subject}"
    purpose = "" if facts.serves else f" to {facts.mode.in_words}"
    return Diagnosis(facts.pipe, Outcome.OK, f"it can be {verb}{purpose}{whom}", checks)


def opening_would_help(diagnosis: Diagnosis) -> bool:
    """Return whether opening the pipe would add information; False if it cannot change a known problem."""
    return all(check.problem is None or check.id in _TELLING for check in diagnosis.checks)


def _checks_to_open(facts: Facts) -> Iterator[Check]:
    yield _name(facts)
    yield _place(facts)
    if is_remote(facts.pipe):
        yield from check_remote(facts)
        yield _answer(facts)
        return
    exists = _exists(facts)
    yield exists
    if exists.problem:
        return
    yield _server(facts)
    yield check_access(facts)
    yield _room(facts)
    yield _flow(facts)
    yield _open(facts)
    yield _kind(facts)
    yield _answer(facts)


def _checks_to_serve(facts: Facts) -> Iterator[Check]:
    yield _name(facts)
    yield _place_to_serve(facts)
    if is_remote(facts.pipe) or not facts.is_there:
        yield _free_name(facts)
        return
    yield _maker(facts)
    yield check_instance_right(facts)
    yield _most(facts)
    yield _same_kind(facts)
    yield _first(facts)


# The name and the place


def _name(facts: Facts) -> Check:
    length = len(facts.pipe.encode("utf-16-le", "surrogatepass")) // 2
    if length <= MAX_LENGTH:
        return Check("name", Status.OK, facts.pipe)
    text = f"it has {length} characters, and a new pipe's name at most {MAX_LENGTH}"
    if facts.serves:
        return problem("name", Outcome.NAME, Cause.NAME_TOO_LONG, text)
    return Check("name", Status.NOTE, text)


def _place(facts: Facts) -> Check:
    if not is_remote(facts.pipe):
        return _app_place(facts) or Check("place", Status.OK, "this computer")
    host = facts.remote.host if facts.remote else facts.pipe
    if upper(host) in ("LOCALHOST", "127.0.0.1", "[::1]"):
        return Check("place", Status.NOTE, f"{host}: this computer, but over the network, as another computer's")
    return Check("place", Status.NOTE, "another computer: its access list and its processes are seen only there")


def _app_place(facts: Facts) -> Check | None:
    is_app = facts.token is not None and facts.token.is_appcontainer
    if not is_app or upper(short(facts.pipe)).startswith("LOCAL\\"):
        return None
    return Check("place", Status.NOTE, r"an AppContainer makes pipes only as \\.\pipe\LOCAL\NAME, which are its own")


# Whether it is there


def _exists(facts: Facts) -> Check:
    was_found = None if facts.opening is None else facts.opening.code not in _NOT_FOUND
    if facts.is_there is None and was_found is None:
        return Check("exists", Status.UNKNOWN, "whether the pipe exists could not be determined")
    # For `a\b`, WaitNamedPipe may report the state of the pipe `a`.
    if not facts.is_there or _is_shadowed(facts):
        if not was_found:
            return _absent(facts)
        if facts.is_there is False:
            return Check("exists", Status.NOTE, "the pipe exists but is not listed: the name is an alias")
    holders = facts.holders
    if kept := _name_kept(facts):
        return kept
    instances = holders.instances if holders else None
    if instances is None:
        return Check("exists", Status.OK, "how many instances it has cannot be seen")
    most = "no limit" if holders is None or holders.max_instances is None else f"at most {holders.max_instances}"
    return Check("exists", Status.OK, f"{_counted(instances, 'instance')}, {most}")


def _is_shadowed(facts: Facts) -> bool:
    names = facts.names or ()
    is_listed = upper(short(facts.pipe)) in map(upper, names)
    return not is_listed and in_the_way(facts.pipe, names) is not None


def _name_kept(facts: Facts) -> Check | None:
    """Return the problem if only clients of a server that has ended keep the name, as they do on NT."""
    was_not_found = facts.opening is not None and facts.opening.code == WinError.FILE_NOT_FOUND
    keepers = sorted({end.pid for end in facts.ends(is_server=False)})
    is_left = facts.holders is not None and facts.holders.is_complete and keepers and not facts.ends(is_server=True)
    if not was_not_found and not is_left:
        return None
    who = f", and {_processes(keepers)} keeps its name" if keepers else ", and some process keeps its name"
    value = str(keepers[0]) if keepers else None
    return problem("exists", Outcome.ABSENT, Cause.NAME_KEPT, f"its server has ended{who}", value=value)


def _absent(facts: Facts) -> Check:
    names = facts.names or ()
    shadow = in_the_way(facts.pipe, names)
    if shadow:
        text = f"there is no such pipe, and there can be none while a pipe exists with the name {shadow}"
        return problem("exists", Outcome.ABSENT, Cause.SHADOWED, text, value=shadow)
    known = known_pipe(facts.pipe)
    if known:
        return _known_absent(facts, known.maker, known.service)
    alike = like(facts.pipe, names)
    found = near(facts.pipe, names) or alike[:1]
    text = "there is no such pipe"
    if len(alike) > 1:
        text += f"; {len(alike)} differ from it in numbers alone, such as {alike[0]}"
    cause = Cause.NEAR_NAME if found else Cause.ABSENT
    return problem("exists", Outcome.ABSENT, cause, text, value=found[0] if found else None)


def _known_absent(facts: Facts, maker: str, service: str | None) -> Check:
    text = f"there is no such pipe: {maker} makes it"
    if service is None or facts.services is None:
        return problem("exists", Outcome.ABSENT, Cause.ABSENT, text)
    if upper(service) in facts.services:
        return problem("exists", Outcome.ABSENT, Cause.ABSENT, f"{text}, and service {service} runs")
    return problem(
        "exists", Outcome.ABSENT, Cause.SERVICE, f"{text}, and service {service} does not run", value=service
    )


# Who serves it


def _server(facts: Facts) -> Check:
    makers = facts.holders.servers if facts.holders else []
    live = [pid for pid in makers if pid in facts.running]
    kept = facts.holders.kept(facts.running) if facts.holders else {}
    if kept and not live:
        return _ended(facts, kept)
    if not makers:
        return _reported_server(facts)
    stuck = live and facts.suspended.issuperset(live)
    details = [facts.program(pid) for pid in live]
    if stuck:
        text = f"{_processes(live)} is suspended and does not respond"
        return problem("server", Outcome.STUCK, Cause.SUSPENDED, text, details=details, value=str(live[0]))
    known = [facts.processes[pid] for pid in live if pid in facts.processes]
    if len({(process.image, process.user) for process in known}) > 1:
        text = f"different programs serve this name: {_joined(details)}"
        return problem("server", Outcome.MISMATCH, Cause.SERVERS_DIFFER, text)
    if len(live) > 1:
        return Check("server", Status.NOTE, f"{_counted(len(live), 'process')} of one program serve it", tuple(details))
    others = "" if facts.holders and facts.holders.is_complete else "; not every instance was found"
    return Check("server", Status.OK, f"{details[0] if details else facts.program(makers[0])}{others}")


def _ended(facts: Facts, kept: dict[int, list[int]]) -> Check:
    maker, keepers = next(iter(kept.items()))
    are_children = all(pid in facts.running and facts.running[pid].parent == maker for pid in keepers)
    who = f"its child{'ren' if len(keepers) > 1 else ''} " if are_children else ""
    text = f"its server, process {maker}, has ended, and {who}{_processes(keepers)} keeps it open: no server responds"
    return problem("server", Outcome.ENDED, Cause.SERVER_ENDED, text, value=str(keepers[0]))


def _reported_server(facts: Facts) -> Check:
    if facts.opening is not None and facts.opening.server is not None:
        return Check("server", Status.OK, facts.program(facts.opening.server))
    if facts.holders is None:
        return Check("server", Status.UNKNOWN, "this system does not report which processes have pipes open")
    reasons = [
        *([f"{_counted(facts.unseen, 'process')} could not be inspected"] if facts.unseen else []),
        *([f"{_counted(facts.unanswered, 'handle')} did not respond in time"] if facts.unanswered else []),
    ]
    return Check(
        "server", Status.UNKNOWN, f"not known: {_joined(reasons) or 'which processes have it open cannot be seen'}"
    )


# Whether an instance is free, and whether the server reads


def _room(facts: Facts) -> Check:
    states = Counter(end.state for end in facts.ends(is_server=True) if end.state)
    details = tuple(f"{count} {state}" for state, count in sorted(states.items()))
    if facts.is_free is None:
        if facts.opening is None or facts.opening.code == WinError.PIPE_BUSY:
            return Check("room", Status.UNKNOWN, "whether an instance is free could not be determined", details)
        return Check("room", Status.OK, "an instance was free", details)
    if facts.is_free or facts.is_open:
        return Check("room", Status.OK, "an instance is free", details)
    lines, value = _takers(facts)
    idle = states["disconnected"]
    if idle and not states["listening"]:
        text = f"{_counted(idle, 'instance')} has no client, and its server does not wait for one"
        cause, why = Cause.NOT_LISTENING, f"{text} (ConnectNamedPipe)"
    elif states["closing"]:
        text = (
            f"the client of {_counted(states['closing'], 'instance')} has left, but the server has not disconnected it"
        )
        cause, why = Cause.CLIENT_LEFT, text
    else:
        text = f"all instances are in use{f' by {_joined(lines)}' if lines else ''}"
        cause, why = Cause.FULL, text
    return problem("room", Outcome.BUSY, cause, f"busy: {why}", text=why, details=[*details, *lines], value=value)


def _takers(facts: Facts) -> tuple[list[str], str | None]:
    """Return the clients in words, those with the most connections first, and the process ID of the first."""
    clients = [end for end in facts.ends(is_server=False) if end.state != "closing"]
    counts = Counter(end.pid for end in clients)
    lines = [
        facts.program(pid) + (f" ({count} connections)" if count > 1 else "") for pid, count in counts.most_common()
    ]
    return lines, str(counts.most_common(1)[0][0]) if counts else None


def _flow(facts: Facts) -> Check:
    connected = [end for end in facts.ends(is_server=True) if end.state == "connected"]
    waiting = [end for end in connected if end.unread]
    if not waiting:
        if facts.holders is None or not facts.holders.is_complete:
            return Check("flow", Status.UNKNOWN, "the unread data of some instances cannot be seen")
        return Check("flow", Status.OK, "the server has no unread data")
    if facts.unread_later is None:
        return Check("flow", Status.UNKNOWN, f"{_bytes(waiting)} for the server; there was no time for a second look")
    stuck = [end for end in waiting if facts.unread_later.get((end.pid, end.handle or 0), -1) >= (end.unread or 0)]
    if not stuck:
        return Check("flow", Status.OK, "the server reads the data of its clients")
    text = f"{_bytes(stuck)} for {_processes(sorted({end.pid for end in stuck}))}, and the number does not fall"
    if len(stuck) < len(connected):
        return Check("flow", Status.NOTE, f"{text}; other clients' data is read")
    summary = f"the server does not read: {text}"
    return problem("flow", Outcome.STUCK, Cause.NOT_READING, summary, text=text, value=str(stuck[0].pid))


def _bytes(ends: list[End]) -> str:
    return f"{_counted(sum(end.unread or 0 for end in ends), 'byte')} unread"


# The result of opening it


def _open(facts: Facts) -> Check:
    opening = facts.opening
    if opening is None:
        if facts.who is not None:
            return Check("open", Status.SKIPPED, f"only this process can try, not {facts.subject}")
        return Check("open", Status.SKIPPED, "not opened")
    if opening.code == 0:
        return Check("open", Status.OK, f"it was opened to {facts.mode.in_words}")
    name = ", ".join(filter(None, (symbol_of(opening.code), str(opening.code))))
    match opening.code:
        case WinError.ACCESS_DENIED:
            return _refused(facts, name)
        case WinError.PIPE_BUSY:
            text = f"busy: no instance was free ({name})"
            return problem("open", Outcome.BUSY, Cause.FULL, text, code=opening.code)
    reason = opening.error.reason if opening.error else "it failed"
    outcome = outcome_of(opening.error) if opening.error else Outcome.FAILED
    return problem("open", outcome, Cause.FAILED, f"it cannot be opened: {reason} ({name})", code=opening.code)


def _refused(facts: Facts, name: str) -> Check:
    access = check_access(facts)
    if access.problem:
        return Check("open", Status.NOTE, f"denied; see the check `access` ({name})")
    if access.status is Status.OK:
        text = "denied, although the access list allows it: security software refuses it, or the list has changed"
        return problem(
            "open",
            Outcome.DENIED,
            Cause.DENIED_ALL_THE_SAME,
            f"access {text} ({name})",
            code=WinError.ACCESS_DENIED,
            text=text,
        )
    text = f"access denied, and the access list, which would say why, cannot be read ({name})"
    return problem("open", Outcome.DENIED, Cause.DENIED, text, code=WinError.ACCESS_DENIED)


def _kind(facts: Facts) -> Check:
    local = facts.local
    if local is None:
        return Check("kind", Status.UNKNOWN, "its type cannot be seen")
    kind = "message" if local.is_message_type else "byte"
    details = (
        f"{local.configuration}, buffers of {local.inbound_quota} and {local.outbound_quota} bytes",
        "clients of other computers are rejected"
        if local.rejects_remote
        else "whether it rejects remote clients is unknown",
    )
    if facts.is_message is not None and facts.is_message != local.is_message_type:
        other = "byte" if kind == "message" else "message"
        text = f"it is a {kind} pipe, and a {other} pipe is needed"
        return problem("kind", Outcome.STATE, Cause.WRONG_TYPE, text, details=details, value=kind)
    if facts.who is not None and facts.who.lower() == _NETWORK_LOGON and local.rejects_remote:
        text = f"a {kind} pipe, which rejects clients of other computers; a logon by ssh on this computer is none"
        return Check("kind", Status.NOTE, text, details)
    hint = "" if local.is_message_type else ": TransactNamedPipe and CallNamedPipe need a message pipe"
    return Check("kind", Status.OK, f"a {kind} pipe{hint}", details)


def _answer(facts: Facts) -> Check:
    reply = facts.reply
    if not facts.asks:
        return Check("answer", Status.SKIPPED, "nothing was sent")
    if reply is None:
        return Check("answer", Status.UNKNOWN, "nothing was sent because the pipe was not opened")
    if reply.code == 0:
        return Check("answer", Status.OK, "it replies")
    outcome = outcome_of(reply.error) if reply.error else Outcome.FAILED
    if outcome is Outcome.STUCK:
        kind = "byte" if facts.local and not facts.local.is_message_type else "message"
        return problem("answer", outcome, Cause.NO_REPLY, "it can be opened, but does not reply in time", value=kind)
    reason = reply.error.reason if reply.error else "it failed"
    return problem("answer", outcome, Cause.HUNG_UP, f"it can be opened, but does not reply: {reason}")


# Creating a pipe


def _place_to_serve(facts: Facts) -> Check:
    if is_remote(facts.pipe):
        text = "a pipe can be made only on this computer"
        return problem("place", Outcome.NAME, Cause.REMOTE, text)
    name = upper(short(facts.pipe))
    if name.startswith(_PROTECTED) and facts.token is not None:
        group = name.removeprefix(_PROTECTED).partition("\\")[0]
        sid = _PROTECTED_FOR.get(group)
        if sid is None or sid not in facts.token.allowed_sids:
            text = f"access denied: names below ProtectedPrefix are for {_joined(_PROTECTED_FOR).lower()}"
            return problem("place", Outcome.DENIED, Cause.PROTECTED_PREFIX, text)
    return _app_place(facts) or Check("place", Status.OK, "this computer")


def _free_name(facts: Facts) -> Check:
    shadow = in_the_way(facts.pipe, facts.names or ())
    if shadow:
        text = f"there can be no such pipe while a pipe exists with the name {shadow}"
        return problem("exists", Outcome.ABSENT, Cause.SHADOWED, text, value=shadow)
    if facts.is_there is None:
        return Check("exists", Status.UNKNOWN, "whether the name is free could not be determined")
    return Check("exists", Status.OK, "the name is free")


def _maker(facts: Facts) -> Check:
    check = _server(facts)
    return check._replace(status=Status.NOTE, problem=None) if check.problem else check


def _most(facts: Facts) -> Check:
    holders = facts.holders
    if holders is None or holders.instances is None:
        return Check("room", Status.UNKNOWN, "how many instances it has cannot be seen")
    most = holders.max_instances
    if most is None or holders.instances < most:
        return Check("room", Status.OK, f"{_counted(holders.instances, 'instance')}, {most or 'no limit'}")
    text = f"busy: the pipe has {_counted(most, 'instance')}, and cannot have more"
    return problem("room", Outcome.BUSY, Cause.MOST_INSTANCES, text)


def _same_kind(facts: Facts) -> Check:
    local = facts.local
    if local is None:
        return Check("kind", Status.UNKNOWN, "how the first instance was made cannot be seen")
    kind = "message" if local.is_message_type else "byte"
    direction = {Mode.READ: "inbound", Mode.WRITE: "outbound", Mode.DUPLEX: "duplex"}[facts.mode]
    if local.configuration != direction:
        text = f"the first instance is {local.configuration}, and all must be: not {direction}"
        return problem("kind", Outcome.DENIED, Cause.DIFFERS, text)
    if facts.is_message is not None and facts.is_message != local.is_message_type:
        text = f"the first instance is of the {kind} type, and all must be"
        return problem("kind", Outcome.DENIED, Cause.DIFFERS, text)
    return Check("kind", Status.OK, f"a {kind} pipe, {local.configuration}, as the new instance would be")


def _first(facts: Facts) -> Check:
    makers = facts.holders.servers if facts.holders else []
    keepers = makers or sorted({end.pid for end in facts.ends(is_server=False)})
    who = f" by {_joined(facts.program(pid) for pid in keepers)}" if keepers else ""
    text = (
        f"the name is taken{who}: a server that must be the first (FILE_FLAG_FIRST_PIPE_INSTANCE) is refused, "
        "and one that adds an instance shares its clients"
    )
    return problem("first", Outcome.DENIED, Cause.TAKEN, text)


# In words


def _counted(number: int, what: str) -> str:
    many = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"


def _joined(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _processes(pids: Sequence[int]) -> str:
    return f"process{'es' if len(pids) > 1 else ''} {_joined(map(str, pids))}"
