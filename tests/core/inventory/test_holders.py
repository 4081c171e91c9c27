"""Who holds a pipe, by its ends: what is complete, what only the other end says, and who has ended."""

from pipectl.core.inventory.holders import End, Holders, Walk, by_pipe, entries_of, servers_by_pipe
from pipectl.core.models import PipeEntry


def server(pid: int, handle: int, **facts: object) -> End:
    """A server's end that listens, held by whoever made it, of a pipe of one instance."""
    known = {"handles": 1, "state": "listening", "instances": 1, "server_pid": pid}
    return End("svc", pid, is_server=True, handle=handle, **{**known, **facts})  # type: ignore[arg-type]


def client(pid: int, handle: int, of: int, **facts: object) -> End:
    """A client's end that is connected."""
    known = {"handles": 1, "state": "connected", "instances": 1, "server_pid": of, "client_pid": pid}
    return End("svc", pid, is_server=False, handle=handle, **{**known, **facts})  # type: ignore[arg-type]


def connected(pid: int, handle: int, to: int, **facts: object) -> End:
    """A server's end with a client."""
    return server(pid, handle, state="connected", client_pid=to, **facts)


def holders(*ends: End) -> Holders:
    """The one pipe that these are ends of."""
    (only,) = by_pipe(Walk(list(ends)))
    return only


def told(found: Holders) -> list[tuple[bool | None, int]]:
    """The ends that only the other end speaks of."""
    return [(end.is_server, end.pid) for end in found.ends if end.handle is None]


# Complete


def test_an_instance_whose_only_handle_is_found_is_complete() -> None:
    assert holders(server(8, 4)).is_complete


def test_an_instance_less_than_there_are_is_not() -> None:
    found = holders(server(8, 4, instances=2))
    assert (found.found, found.instances, found.is_complete) == (1, 2, False)


def test_two_handles_on_one_end_are_one_instance() -> None:
    found = holders(server(8, 4, instances=2, handles=2), server(12, 4, instances=2, handles=2, server_pid=8))
    assert (found.found, found.is_complete) == (1, False)


def test_an_end_that_somebody_unseen_has_too_is_not_complete() -> None:
    found = holders(server(8, 4, handles=2))
    assert (found.found, found.is_complete) == (0, False)


def test_clients_are_no_instances() -> None:
    assert not holders(client(12, 4, of=8)).is_complete


def test_a_client_whose_server_has_closed_its_end_is_an_instance() -> None:
    found = holders(server(8, 4, instances=2), client(12, 4, of=8, state="closing", instances=2))
    assert (found.found, found.is_complete) == (2, True)


def test_a_pipe_of_the_directory_without_an_end_is_not_complete() -> None:
    (found,) = by_pipe(Walk([]), [PipeEntry("svc", 2, 5)])
    assert found == Holders("svc", 2, 5, 0, is_complete=False, ends=[])


def test_an_end_of_which_nothing_is_known_is_not_complete() -> None:
    assert not holders(End("svc", 8, None, 4)).is_complete


def test_names_are_one_pipe_in_any_case() -> None:
    ends = [server(8, 4, instances=2), server(8, 8, instances=2)._replace(pipe="SVC")]
    (found,) = by_pipe(Walk(ends), [PipeEntry("Svc", 2, None)])
    assert found.is_complete


# The other end


def test_a_client_that_is_not_found_is_told_by_the_servers_end() -> None:
    found = holders(connected(8, 4, to=12))
    assert told(found) == [(False, 12)]
    assert found.is_complete


def test_a_server_that_is_not_found_is_told_by_the_clients_end() -> None:
    found = holders(client(12, 4, of=8))
    assert told(found) == [(True, 8)]
    assert found.servers == [8]


def test_ends_that_are_found_are_told_once() -> None:
    assert told(holders(connected(8, 4, to=12), client(12, 4, of=8))) == []


def test_of_two_clients_of_a_process_the_one_that_is_missing_is_told() -> None:
    found = holders(
        connected(8, 4, to=12, instances=2), connected(8, 8, to=12, instances=2), client(12, 4, of=8, instances=2)
    )
    assert told(found) == [(False, 12)]


def test_two_handles_on_one_end_speak_of_one_client() -> None:
    found = holders(connected(8, 4, to=12, handles=2), connected(16, 4, to=12, handles=2, server_pid=8))
    assert told(found) == [(False, 12)]


def test_who_was_a_client_and_left_is_not_told() -> None:
    assert told(holders(connected(8, 4, to=12)._replace(state="closing"))) == []


# Who has ended, and who shares a name


def test_a_server_that_has_ended_and_whose_child_keeps_its_end_is_known() -> None:
    found = holders(server(16, 4, server_pid=8))
    assert found.kept(running={16}) == {8: [16]}
    assert found.kept(running={8, 16}) == {}


def test_a_server_that_holds_its_own_end_is_not_kept() -> None:
    assert holders(server(8, 4)).kept(running=[]) == {}


def test_every_process_that_made_an_instance_serves_the_name() -> None:
    walk = Walk([server(12, 4, instances=2), server(8, 4, instances=2), server(8, 4)._replace(pipe="other")])
    assert servers_by_pipe(walk) == {"OTHER": [8], "SVC": [8, 12]}


def test_the_pipes_that_were_found_are_entries_as_of_a_directory() -> None:
    walk = Walk([server(8, 4, instances=3, max_instances=5), server(8, 8)._replace(pipe="a")])
    assert entries_of(walk) == [PipeEntry("a", 1, None), PipeEntry("svc", 3, 5)]
