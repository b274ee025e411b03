"""Shard groups as series: members, slices, slices without an owner, hand-overs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kinformer.integrations.prometheus._families import Labels, counters, gauges
from kinformer.operators.shard_status import PeerState, SliceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from kinformer.operators.shard_group import ShardGroup
    from kinformer.operators.shard_status import ShardGroupStatus

__all__ = ["ShardSeries"]

_REASONS = ("planned", "crash", "first")
_MEMBERS = "Members of the group, as this member sees them, by state."
_HANDOVERS = "Slices that this member got, by reason."


class _OfGroup(NamedTuple):
    """A series with one value for each group."""

    family: Callable[[str, str, Labels, dict[Labels, float]], Metric]
    name: str
    text: str
    value: Callable[[ShardGroupStatus], float]


_OF_EACH = (
    _OfGroup(
        gauges, "kinformer_shard_unowned_slices", "Slices that no living member owns.", lambda status: status.unowned
    ),
    _OfGroup(
        gauges,
        "kinformer_shard_unowned_seconds",
        "Seconds since slices were first without an owner; 0 if there are none.",
        lambda status: status.unowned_for,
    ),
    _OfGroup(gauges, "kinformer_shard_generation", "Number of changes of the table.", lambda status: status.generation),
    _OfGroup(
        gauges,
        "kinformer_shard_lease_remaining_seconds",
        "Seconds for which the Lease of this member is valid if no renewal succeeds any more.",
        lambda status: status.remaining,
    ),
    _OfGroup(
        counters,
        "kinformer_shard_table_conflicts",
        "Writes of the table that another member was faster with.",
        lambda status: status.conflicts,
    ),
)


class ShardSeries:
    """All shard groups, by namespace and name. A group of the same name takes the place of an earlier one."""

    def __init__(self) -> None:
        self._groups: dict[str, ShardGroup] = {}

    def add(self, name: str, group: ShardGroup) -> None:
        """Read a group from now on."""
        self._groups[name] = group

    def families(self) -> Iterator[Metric]:
        """Return the present values."""
        found: dict[str, ShardGroupStatus] = {}
        for name, group in self._groups.copy().items():
            try:
                found[name] = group.status
            except RuntimeError:
                # It was not entered yet, and this thread has no event loop.
                continue
        members = {name: Counter(one.state for one in status.members) for name, status in found.items()}
        by_state: dict[Labels, int] = {
            (name, state): states[state] for name, states in members.items() for state in PeerState
        }
        slices: dict[Labels, int] = {
            (name, state): one.slices.get(state, 0) for name, one in found.items() for state in SliceState
        }
        reasons: dict[Labels, int] = {
            (name, reason): one.handovers.get(reason, 0) for name, one in found.items() for reason in _REASONS
        }

        yield gauges("kinformer_shard_members", _MEMBERS, ("group", "state"), by_state)
        yield gauges("kinformer_shard_slices", "Slices of this member, by state.", ("group", "state"), slices)
        for family, name, text, value in _OF_EACH:
            yield family(name, text, ("group",), {(group,): value(status) for group, status in found.items()})
        yield counters("kinformer_shard_handovers", _HANDOVERS, ("group", "reason"), reasons)
