"""The oracle of the property tests: each cache ends as the server, and each handler got a legal history, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, seed, settings

from kinformer.events import Added, Deleted, Updated
from kinformer.objects import version_number
from tests.seeds import FIRST_SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hypothesis import strategies as st

    from kinformer.events import Event
    from kinformer.informer import SharedInformer
    from kinformer.objects import KubeObject, ObjectKey


@dataclass(eq=False)
class History:
    """All that one handler got, and what cannot be of it.

    Attributes:
        objects: the objects that the handler knows of, in their last state.
        problems: the events that cannot follow those before, with the reason.
    """

    objects: dict[ObjectKey, KubeObject] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _highest: dict[ObjectKey, int] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Take an event, and note it if it cannot follow those before."""
        known, highest = self.objects.get(event.key), self._highest.get(event.key, 0)
        version = version_number(event.obj.resource_version)
        match event:
            case Added(obj):
                self.objects[event.key] = obj
                self.expect(known is None, event, "added twice")
                self.expect(version >= highest, event, f"came back older than {highest}")
            case Updated(old, new):
                self.objects[event.key] = new
                self.expect(known == old, event, "old is not what the handler got last")
                self.expect(old.uid == new.uid, event, "an update from one object to another")
                self.expect(version > version_number(old.resource_version), event, "no newer than before")
            case Deleted():
                self.objects.pop(event.key, None)
                self.expect(known is not None, event, "the end of an object that the handler never got")
        self._highest[event.key] = max(highest, version)

    def forget(self, key: ObjectKey) -> None:
        """Allow that the object comes back in a state that is older than those before."""
        self._highest.pop(key, None)

    def expect(self, right: bool, event: Event, problem: str) -> None:
        """Note a problem with an event, unless all is right."""
        if not right:
            self.problems.append(f"{problem}: {event}")


def versions(objects: Mapping[ObjectKey, KubeObject]) -> dict[ObjectKey, str]:
    return {key: obj.resource_version for key, obj in objects.items()}


def check(informer: SharedInformer, server: Mapping[ObjectKey, KubeObject], histories: Iterable[History]) -> None:
    """Compare a cache at rest with the objects that the server has for it, and the handlers with the cache."""
    wanted = versions(server)
    assert versions(dict(informer.snapshot())) == wanted, informer
    assert {obj.key: obj.resource_version for obj in informer.lister.list()} == wanted, informer
    for history in histories:
        assert history.problems == [], history.problems
        assert versions(history.objects) == wanted, history


def every(strategy: st.SearchStrategy[Any], run: Callable[[Any], None], *, examples: int, start: int) -> None:
    """Run many schedules of a strategy: always the same ones of a number and of the first seed of this run."""

    @seed(FIRST_SEED + start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(strategy)
    def play(schedule: Any) -> None:
        run(schedule)

    play()
