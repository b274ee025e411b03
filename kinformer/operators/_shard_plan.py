"""One change of the table of a shard group, as a member plans it. Pure.

The rules R6, R9 and R12, which the comments name, are explained in docs/design/0012-shard-groups.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from kinformer.operators._shard_records import Acknowledgement, Handover, Incarnation
from kinformer.operators._slice_assignment import fill, quotas, surplus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from kinformer.operators._shard_records import Table

__all__ = ["Living", "TablePlan"]

Living: TypeAlias = "dict[Incarnation, Mapping[int, Acknowledgement]]"
"""The incarnations that may be given slices, in an order that all members know, with their acknowledgements."""


class TablePlan:
    """A change of a table.

    Args:
        table: the newest table.
        me: the incarnation that plans.
        living: the incarnations that may be given slices.
    """

    def __init__(self, table: Table, me: Incarnation, living: Living) -> None:
        self._table = table
        self._me = me
        self._living = living
        self._owners = [*table.owners]
        self._handovers = dict(table.handovers)

    @property
    def changed(self) -> Table | None:
        """The table with the change; `None` if nothing changes."""
        table, owners = self._table, tuple(self._owners)
        if owners == table.owners and self._handovers == table.handovers:
            return None
        return replace(table, generation=table.generation + 1, owners=owners, handovers=self._handovers)

    def withdraw(self, late: Collection[str]) -> set[int]:
        """Withdraw hand-overs to members that do not live, and our own whose intents are late; return the slices."""
        withdrawn = {
            number
            for number, handover in self._handovers.items()
            if handover.to not in self._living or (self._owners[number] == self._me and handover.intent in late)
        }
        for number in withdrawn:
            del self._handovers[number]
        return withdrawn

    def take(self, dead: Collection[Incarnation | None]) -> None:
        """Give the slices of dead incarnations, and those without an owner if `None` is among them, to the living."""
        # R6
        free = [number for number, owner in enumerate(self._owners) if owner in dead]
        if not free:
            return
        planned = self._planned()
        for number in free:
            if number not in self._handovers:
                planned[number] = None
        filled = fill(planned, self._living)
        for number in free:
            self._owners[number] = filled[number]
            self._handovers.pop(number, None)

    def intend(self, new_intent: Callable[[], str], *, leaving: bool) -> list[str]:
        """Intend to give the slices that we have above our quota, or all if we leave; return the new intents."""
        me, owners, planned = self._me, self._owners, self._planned()
        if not leaving and planned.count(me) <= len(owners) // len(self._living):
            return []
        quota = 0 if leaving else quotas(planned, self._living)[me]
        # Slices that are only to come to us are not ours to give.
        coming = sum(planned[number] == me != owner for number, owner in enumerate(owners))
        ours = [one if owner == me else None for one, owner in zip(planned, owners, strict=True)]
        over = surplus(ours, me, max(quota - coming, 0))
        if not over:
            return []
        for number in over:
            planned[number] = None
        filled = fill(planned, self._living)
        intents = []
        for number in over:
            to = filled[number]
            if to is not None and to != me:
                intents.append(new_intent())
                self._handovers[number] = Handover(to, intents[-1])
        return intents

    def acknowledged(self) -> Iterator[tuple[int, int]]:
        """Yield our slices whose next owner has listed them, and the version of its list."""
        for number, handover in [*self._handovers.items()]:
            if self._owners[number] != self._me or handover.to not in self._living:
                continue
            ready = self._living[handover.to].get(number)
            # R9: its list answers this hand-over.
            if ready is not None and ready.intent == handover.intent:
                yield number, ready.version

    def give(self, number: int) -> None:
        """Give a slice to its next owner."""
        self._owners[number] = self._handovers.pop(number).to

    def abandon(self, slices: Collection[int]) -> None:
        """Leave slices without an owner."""
        for number in slices:
            self._owners[number] = None
            self._handovers.pop(number, None)

    def _planned(self) -> list[Incarnation | None]:
        """Return the owners after all hand-overs."""
        handovers = self._handovers
        if not handovers:
            return [*self._owners]
        return [handovers[number].to if number in handovers else one for number, one in enumerate(self._owners)]
