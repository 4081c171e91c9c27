"""The bound on the memory of all clients together: who goes on, who waits, and that somebody always goes on."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.pipe.memory import Memory


class Client:
    """Somebody who holds memory, or waits for it."""

    def __init__(self, order: list["Client"]) -> None:
        self._order = order

    def go_on(self) -> None:
        """Note that it could go on."""
        self._order.append(self)


@pytest.fixture
def new() -> tuple[Callable[[], Client], list[Client]]:
    order: list[Client] = []
    return (lambda: Client(order)), order


def test_what_fits_is_granted_at_once(new: tuple[Callable[[], Client], list[Client]]) -> None:
    make, order = new
    memory = Memory(100)
    assert all(memory.take(make(), 25) for _ in range(4))
    assert not memory.take(make(), 1)
    assert order == []


def test_one_alone_gets_whatever_it_needs(new: tuple[Callable[[], Client], list[Client]]) -> None:
    assert Memory(100).take(new[0](), 1000)


def test_the_smallest_goes_on_first(new: tuple[Callable[[], Client], list[Client]]) -> None:
    make, order = new
    memory, first, large, small = Memory(100), make(), make(), make()
    assert memory.take(first, 100)
    assert not memory.take(large, 90)
    assert not memory.take(small, 20)
    memory.give_back(first)
    assert order == [small]
    memory.give_back(small)
    assert order == [small, large]


def test_who_gives_up_waits_no_more(new: tuple[Callable[[], Client], list[Client]]) -> None:
    make, order = new
    memory, first, second = Memory(100), make(), make()
    memory.take(first, 100)
    memory.take(second, 50)
    memory.give_back(second)
    memory.give_back(first)
    assert order == []
    assert not memory.held


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_everybody_goes_on_at_last_and_never_too_many_at_once(sizes: list[int]) -> None:
    order: list[Client] = []
    memory = Memory(100)
    clients = {Client(order): size for size in sizes}
    holding = [client for client, size in clients.items() if memory.take(client, size)]
    done = 0
    while holding:
        assert sum(memory.held.values()) <= 100 or len(memory.held) == 1
        memory.give_back(holding.pop())
        done += 1
        holding += order
        order.clear()
    assert done == len(sizes)
