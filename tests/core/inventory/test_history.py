"""The lives of pipes, by what is seen of them from time to time."""

from pipectl.core.inventory import history
from pipectl.core.inventory.history import Change, Happening, History
from pipectl.core.models import PipeEntry


def entry(name: str = "svc", instances: int = 1) -> PipeEntry:
    """A pipe in the directory."""
    return PipeEntry(name, instances, None)


def begun(*entries: PipeEntry) -> History:
    """A history that began with these, at 0."""
    made = History()
    made.update(entries, 0)
    return made


def test_what_is_there_at_the_beginning_is_present() -> None:
    assert History().update([entry("a"), entry("b")], 5) == [
        Change(Happening.PRESENT, entry("a")),
        Change(Happening.PRESENT, entry("b")),
    ]


def test_a_name_that_was_not_there_has_appeared() -> None:
    assert begun(entry("a")).update([entry("a"), entry("b")], 1) == [Change(Happening.APPEARED, entry("b"))]


def test_what_stays_as_it_is_is_no_change() -> None:
    assert begun(entry("a")).update([entry("A")], 1) == []


def test_a_number_of_instances_that_changes_is_told_with_the_one_before() -> None:
    made = begun(entry(instances=1))
    assert made.update([entry(instances=3)], 1) == [Change(Happening.INSTANCES, entry(instances=3), was=1)]
    assert made.update([entry(instances=2)], 2) == [Change(Happening.INSTANCES, entry(instances=2), was=3)]


def test_a_name_that_is_missing_once_is_not_gone() -> None:
    made = begun(entry())
    assert made.update([], 1) == []
    assert made.update([entry()], 2) == []
    assert made.update([], 3) == []


def test_a_name_that_is_missing_twice_is_gone_and_lived_until_it_was_seen_last() -> None:
    made = begun()
    made.update([entry()], 10)
    made.update([entry()], 12)
    assert made.update([], 13) == []
    assert made.update([], 14) == [Change(Happening.GONE, entry(), was=1, lived=2)]
    assert made.update([], 15) == []


def test_how_long_a_pipe_lived_that_was_there_before_is_not_known() -> None:
    made = begun(entry())
    made.update([], 1)
    assert made.update([], 2) == [Change(Happening.GONE, entry(), was=1)]


def test_a_name_that_comes_back_has_a_gap() -> None:
    made = begun(entry())
    for now in (1, 2):
        made.update([], now)
    assert made.update([entry()], 3) == [Change(Happening.APPEARED, entry(), gap=3)]
    for now in (4, 5):
        made.update([], now)
    assert made.update([entry()], 6) == [Change(Happening.APPEARED, entry(), gap=3)]


def test_a_name_that_somebody_knows_to_be_there_is_not_gone() -> None:
    made = begun(entry("a"), entry("b"))
    for now in (1, 2, 3):
        changes = made.update([], now, is_gone=lambda name: name == "b")
    assert changes == []
    assert made.update([entry("a")], 4) == []


def test_only_so_many_names_that_are_gone_are_remembered() -> None:
    most = history._MOST_GONE
    made = begun(*(entry(str(number)) for number in range(most + 1)))
    made.update([], 1)
    made.update([], 2)
    assert made.update([entry("0")], 3) == [Change(Happening.APPEARED, entry("0"))]
    assert made.update([entry("0"), entry(str(most))], 4) == [Change(Happening.APPEARED, entry(str(most)), gap=4)]
