"""The oracle of the property tests finds each kind of illegal history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from kinformer import KubeObject
from kinformer.events import Added, Deleted, Updated
from kinformer.resources import CONFIGMAPS
from tests.properties.oracle import History

if TYPE_CHECKING:
    from kinformer.events import Event


def state(version: int, uid: str = "u") -> KubeObject:
    metadata = {"name": "a", "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return KubeObject.from_dict({"metadata": metadata}, CONFIGMAPS)


FIRST: Final = Added(state(1))
THEN: Final = Updated(state(1), state(2))
END: Final = Deleted(state(3))

ILLEGAL: Final[dict[str, list[Event]]] = {
    "added twice": [FIRST, Added(state(2))],
    "came back older than 3": [FIRST, END, Added(state(2))],
    "old is not what the handler got last": [FIRST, THEN, Updated(state(1), state(3))],
    "an update from one object to another": [FIRST, Updated(state(1), state(2, uid="v"))],
    "no newer than before": [FIRST, Updated(state(1), state(1))],
    "the end of an object that the handler never got": [FIRST, END, END],
}


def history_of(events: list[Event]) -> History:
    history = History()
    for event in events:
        history.take(event)
    return history


@pytest.mark.parametrize("problem", ILLEGAL)
def test_an_event_that_cannot_follow_those_before_is_a_problem(problem: str) -> None:
    assert [found.partition(": ")[0] for found in history_of(ILLEGAL[problem]).problems] == [problem]


def test_a_legal_history_has_no_problem_and_ends_with_the_last_states() -> None:
    history = history_of([FIRST, THEN, END, Added(state(4, uid="v"))])
    assert history.problems == []
    assert [obj.uid for obj in history.objects.values()] == ["v"]
