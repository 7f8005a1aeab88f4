"""AckWindow: acknowledgements leave in the order of receipt, once, and never on another connection."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt.ack_window import AckWindow


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=12))
def test_order_of_receipt_whatever_the_order_given(order: Any, twice: Any) -> None:
    sent: list[int] = []
    window = AckWindow(sent.append, lambda: None)
    acknowledgements = [window.receive(100 + number) for number in range(12)]
    for position, number in enumerate(order):
        acknowledgements[number]()
        for again in twice[: position + 1]:
            if again in order[: position + 1]:
                acknowledgements[again]()
        done = set(order[: position + 1])
        held = next((n for n in range(12) if n not in done), 12)
        assert sent == [100 + n for n in range(held)]
        assert len(window) == 12 - held


def test_after_the_end_they_are_stale_and_counted() -> None:
    sent: list[int] = []
    stale: list[int] = []
    window = AckWindow(sent.append, lambda: stale.append(1))
    first, second = window.receive(1), window.receive(2)
    first()
    assert not window.closed
    window.close()
    assert window.closed
    second()
    second()
    assert (sent, len(stale), len(window)) == ([1], 1, 0)
