"""The protocol of a shard group, step by step; tests/properties/test_shard_schedules.py has the random schedules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kinformer.operators._shard_protocol import ShardMember, ShardTimes, SliceCache
from kinformer.operators._shard_records import (
    FORMAT,
    UNREADABLE_MEMBER,
    UNREADABLE_TABLE,
    Answer,
    DeleteMember,
    Done,
    Handover,
    Incarnation,
    ListMembers,
    MemberRecord,
    ReadMember,
    ReadTable,
    Refused,
    Request,
    Table,
    Unanswered,
    WriteMember,
    WriteTable,
)

SLICES = 4
TIMES = ShardTimes()
TABLE = ""


class Server:
    """The objects of a group, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.version = 100
        self.objects: dict[str, tuple[int, Any]] = {}
        self.members: list[ShardMember] = []

    def member(self, name: str, **other: Any) -> ShardMember:
        settings: dict[str, Any] = {"by": "uid", "slices": SLICES, "times": TIMES}
        member = ShardMember(name, **(settings | other))
        self.members.append(member)
        return member

    def execute(self, request: Request) -> Answer:
        match request:
            case ReadTable():
                return Done(*self.objects.get(TABLE, (0, None)))
            case ReadMember(name):
                return Done(*self.objects.get(name, (0, None)))
            case ListMembers():
                return Done(self.version, {name: stored for name, stored in self.objects.items() if name != TABLE})
            case WriteTable(version, table):
                return self.store(TABLE, version, table)
            case WriteMember(name, version, record):
                return self.store(name, version, record)
            case DeleteMember(name, version):
                return self.store(name, version, None)

    def store(self, name: str, expected: int, value: Any) -> Answer:
        if self.objects.get(name, (0, None))[0] != expected:
            return Refused()
        self.version += 1
        self.objects[name] = (self.version, value)
        if value is None:
            del self.objects[name]
        return Done(self.version)

    def watch(self, member: ShardMember) -> None:
        """Bring everything to a member."""
        for name, (version, value) in [*self.objects.items()]:
            if name == TABLE:
                member.saw_table(version, value, self.now)
            else:
                member.saw_member(name, version, value, self.now)

    def step(self, *members: ShardMember) -> None:
        """Let members act once: watches, caches, stops, requests."""
        for member in members:
            self.watch(member)
            for number in member.wanted():
                member.cached(number, SliceCache(1, 1))
            for number in member.stopping():
                member.stopped(number)
            for request in member.requests(self.now):
                member.answered(request, self.execute(request), self.now)

    def run(self, seconds: float, *members: ShardMember) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.25
            self.step(*members)

    @property
    def table(self) -> Table:
        table: Table = self.objects[TABLE][1]
        return table

    def owners(self) -> list[str]:
        return [owner.member if owner else "" for owner in self.table.owners]

    def works(self, member: ShardMember) -> set[int]:
        return {number for number in range(SLICES) if member.may_work(number, self.now)}


def pair() -> tuple[Server, ShardMember, ShardMember]:
    """Two members that share the slices."""
    server = Server()
    one, two = server.member("one"), server.member("two")
    server.run(3, one)
    server.run(20, one, two)
    assert len(server.works(one)) == len(server.works(two)) == 2
    return server, one, two


def test_the_first_member_makes_the_table_and_owns_all() -> None:
    server = Server()
    one = server.member("one")
    server.run(3, one)
    assert server.works(one) == {0, 1, 2, 3}
    assert server.table.by == "uid"


def test_work_ends_when_the_lease_was_not_renewed_within_the_deadline() -> None:
    server, one, _ = pair()
    server.now += TIMES.renew_deadline + 0.01
    assert server.works(one) == set()


def test_a_renewal_is_believed_in_from_its_sending_on() -> None:
    server, one, _ = pair()
    server.now += TIMES.renew_period
    server.watch(one)
    (renewal,) = [request for request in one.requests(server.now) if isinstance(request, WriteMember)]
    answer = server.execute(renewal)
    server.now += 4
    one.answered(renewal, answer, server.now)
    assert one.valid_until == renewal.sent + TIMES.renew_deadline


def test_a_member_that_does_not_renew_is_fenced_before_its_slices_are_taken() -> None:
    server, _, two = pair()
    server.run(TIMES.lease_duration - 1, two)
    assert len(server.works(two)) == 2
    server.run(2, two)
    assert server.works(two) == {0, 1, 2, 3}
    assert not server.objects["one"][1].holds


def test_a_member_that_renewed_meanwhile_is_not_fenced() -> None:
    server, one, two = pair()
    server.now += TIMES.lease_duration + 1
    # Its renewal is in the server, and the other member's watch is behind.
    for request in one.requests(server.now):
        one.answered(request, server.execute(request), server.now)
    for _ in range(5):
        for request in two.requests(server.now):
            two.answered(request, server.execute(request), server.now)
    assert server.objects["one"][1].holds
    assert len(server.works(one)) == 2


def test_a_fenced_member_comes_back_as_the_next_incarnation_when_its_reconciles_have_ended() -> None:
    server, one, two = pair()
    before = one.owned()
    version, record = server.objects["one"]
    server.store("one", version, replace(record, holds=False))
    server.watch(one)
    assert (one.number, one.owned()) == (0, frozenset())
    assert one.stopping() == before
    for _ in range(5):
        assert not any(isinstance(request, WriteMember) for request in one.requests(server.now))
    for number in before:
        one.stopped(number)
    server.run(20, one, two)
    assert one.number == 2
    assert len(server.works(one)) == 2


def test_an_incarnation_newer_than_its_lease_as_known_is_alive() -> None:
    server, _, two = pair()
    owners = tuple(Incarnation("one", 7) if owner == Incarnation("one", 1) else owner for owner in server.table.owners)
    version = server.objects[TABLE][0]
    server.store(TABLE, version, replace(server.table, owners=owners, generation=server.table.generation + 1))
    server.run(5, two)
    assert server.table.owners == owners


def test_slices_move_between_the_living_only_after_the_membership_was_quiet() -> None:
    server = Server()
    one, two = server.member("one"), server.member("two")
    server.run(20, one)
    server.run(TIMES.settle - 1, one, two)
    assert server.owners() == ["one"] * SLICES
    assert not server.table.handovers
    server.run(4, one, two)
    assert sorted(server.owners()) == ["one", "one", "two", "two"]


def test_an_owner_stops_a_slice_before_it_writes_that_it_gave_it() -> None:
    server, one, two = pair()
    one.leave()
    for _ in range(12):
        server.now += 0.25
        server.step(two)
        server.watch(one)
        for number in one.wanted():
            one.cached(number, SliceCache(1, 1))
        for request in one.requests(server.now):
            one.answered(request, server.execute(request), server.now)
    # It is never reported that they have stopped.
    assert len(one.stopping()) == 2
    assert server.works(one) == set()
    assert server.owners().count("one") == 2


def test_an_owner_gives_only_if_its_handlers_were_called_for_everything_before_the_list_of_the_next_owner() -> None:
    server, one, two = pair()
    one.leave()
    for told, stops in ((9, False), (10, True)):
        for _ in range(8):
            server.now += 0.25
            server.watch(two)
            for number in two.wanted():
                two.cached(number, SliceCache(10, 10))
            for request in two.requests(server.now):
                two.answered(request, server.execute(request), server.now)
            server.watch(one)
            for number in one.wanted():
                one.cached(number, SliceCache(1, told))
            for request in one.requests(server.now):
                one.answered(request, server.execute(request), server.now)
        assert bool(one.stopping()) is stops


def test_an_acknowledgement_of_an_earlier_hand_over_counts_for_nothing() -> None:
    server, one, two = pair()
    one.leave()
    server.run(0.5, one)
    (number, handover), *_ = server.table.handovers.items()
    version = server.objects[TABLE][0]
    later = {**server.table.handovers, number: Handover(handover.to, "another")}
    server.step(two)
    server.store(TABLE, version, replace(server.table, handovers=later, generation=server.table.generation + 1))
    for _ in range(3):
        server.now += 0.25
        server.step(one)
    assert server.table.owners[number] == one.me
    server.run(5, one, two)
    assert server.owners() == ["two"] * SLICES


def test_a_hand_over_that_takes_too_long_is_withdrawn() -> None:
    server = Server()
    one, two = server.member("one", times=replace(TIMES, handover=4)), server.member("two")
    server.run(3, one)
    intents = set()
    for _ in range(80):
        server.now += 0.25
        server.step(one)
        server.watch(two)
        for request in two.requests(server.now):
            two.answered(request, server.execute(request), server.now)
        intents |= {handover.intent for handover in server.table.handovers.values()}
    assert server.owners() == ["one"] * SLICES
    assert len(intents) > 4


def test_an_unanswered_gift_stays_stopped_until_the_table_has_moved_past_its_version() -> None:
    server, one, two = pair()
    one.leave()
    gift: WriteTable | None = None
    for _ in range(40):
        server.now += 0.25
        server.step(two)
        server.watch(one)
        for number in one.wanted():
            one.cached(number, SliceCache(1, 1))
        for number in one.stopping():
            one.stopped(number)
        for request in one.requests(server.now):
            if isinstance(request, WriteTable) and request.table.owners != server.table.owners:
                gift = request
                one.answered(request, Unanswered(), server.now)
            else:
                one.answered(request, server.execute(request), server.now)
        if gift is not None:
            break
    assert gift is not None
    given = {number for number in range(SLICES) if gift.table.owners[number] != server.table.owners[number]}
    # It reads the table, which has not changed, and the next owner dies: the gift may be applied all the same.
    version, record = server.objects["two"]
    server.store("two", version, replace(record, holds=False))
    server.now += 0.6
    server.watch(one)
    for request in one.requests(server.now):
        assert isinstance(request, ReadTable | WriteMember)
        one.answered(request, server.execute(request), server.now)
    assert not server.works(one) & given
    burn = next(request for request in one.requests(server.now) if isinstance(request, WriteTable))
    assert burn.table.owners == server.table.owners
    assert server.execute(gift) == Done(server.version)
    one.answered(burn, server.execute(burn), server.now)
    assert not server.works(one) & given


def test_an_unanswered_gift_that_can_no_longer_be_applied_is_taken_back() -> None:
    server, one, two = pair()
    one.leave()
    server.run(1.0, two, one)
    lost = 0
    for _ in range(40):
        server.now += 0.25
        server.step(two)
        server.watch(one)
        for number in one.wanted():
            one.cached(number, SliceCache(1, 1))
        for number in one.stopping():
            one.stopped(number)
        for request in one.requests(server.now):
            if isinstance(request, WriteTable) and lost < 2:
                lost += 1
                one.answered(request, Unanswered(), server.now)
            else:
                one.answered(request, server.execute(request), server.now)
    assert server.owners() == ["two"] * SLICES


def test_a_leaving_member_gives_everything_and_deletes_its_lease() -> None:
    server, one, two = pair()
    one.leave()
    server.run(5, one, two)
    assert one.gone
    assert server.works(two) == {0, 1, 2, 3}
    assert "one" not in server.objects


def test_the_last_member_gives_to_nobody() -> None:
    server = Server()
    one = server.member("one")
    server.run(3, one)
    one.leave()
    server.run(3, one)
    assert one.gone
    assert server.owners() == [""] * SLICES
    later = server.member("later")
    server.run(2, later)
    assert server.works(later) == {0, 1, 2, 3}


def test_the_last_member_goes_on_if_another_one_joins_before_it_has_given_all() -> None:
    server = Server()
    one = server.member("one")
    server.run(3, one)
    one.leave()
    # It stops everything, and is about to leave it without an owner.
    for request in one.requests(server.now):
        one.answered(request, server.execute(request), server.now)
    for number in one.stopping():
        one.stopped(number)
    assert server.works(one) == set()
    two = server.member("two")
    server.run(2, two)
    server.watch(one)
    for request in one.requests(server.now):
        one.answered(request, server.execute(request), server.now)
    # Without this, nobody would be informed of what is deleted before the other one has listed.
    assert server.works(one) == {0, 1, 2, 3}
    server.run(10, one, two)
    assert one.gone
    assert server.works(two) == {0, 1, 2, 3}


def test_the_last_member_asks_for_the_members_before_it_leaves_slices_without_an_owner() -> None:
    server = Server()
    one, two = server.member("one"), server.member("two")
    server.run(3, one)
    one.leave()
    # The watches of the first one are late, and show nothing of the second one.
    server.run(3, two)
    assert server.owners() == ["one"] * SLICES
    one.requests(server.now)
    for number in one.stopping():
        one.stopped(number)
    (request,) = [request for request in one.requests(server.now) if not isinstance(request, WriteMember)]
    assert request == ListMembers()
    one.answered(request, server.execute(request), server.now)
    (gift,) = [request for request in one.requests(server.now) if isinstance(request, WriteTable)]
    assert [owner and owner.member for owner in gift.table.owners] == ["one"] * SLICES
    assert {handover.to.member for handover in gift.table.handovers.values()} == {"two"}


def test_after_the_table_was_deleted_all_stop_for_one_lease() -> None:
    server, one, two = pair()
    del server.objects[TABLE]
    server.version += 1
    one.saw_table(server.version, None, server.now)
    assert server.works(one) == set()
    assert [*one.requests(server.now + TIMES.lease_duration - 0.01)] == []
    # The other one has not seen it: as long as it may work by the lost table, nothing is given.
    began = server.now
    while server.now < began + 50:
        server.now += 0.25
        server.step(one)
        for request in two.requests(server.now):
            answer = Unanswered() if isinstance(request, ReadTable | WriteTable) else server.execute(request)
            two.answered(request, answer, server.now)
        assert not server.works(one) & server.works(two)
    assert server.works(one) == {0, 1, 2, 3}
    assert one.number == 2


def test_a_table_of_an_older_generation_means_that_the_server_has_lost_writes() -> None:
    server, one, _ = pair()
    one.saw_table(server.version + 50, replace(server.table, generation=1), server.now)
    assert server.works(one) == set()
    assert [*one.requests(server.now + TIMES.lease_duration - 0.01)] == []


def test_a_most_recent_read_of_an_older_version_means_that_the_server_has_lost_writes() -> None:
    server, one, _ = pair()
    owned = one.owned()
    version, record = server.objects["one"]
    server.objects["one"] = (version - 60, record)
    server.now += TIMES.renew_period + 0.1
    for _ in range(2):
        for request in one.requests(server.now):
            one.answered(request, server.execute(request), server.now)
    assert server.works(one) == set()
    assert one.stopping() == owned


def test_an_older_table_or_lease_is_ignored() -> None:
    server, one, two = pair()
    table, works = one.table, server.works(one)
    one.saw_table(1, replace(server.table, owners=(two.me,) * SLICES), server.now)
    one.saw_member("one", 1, MemberRecord(number=1, holds=False), server.now)
    assert one.table == table
    assert server.works(one) == works


def test_a_group_of_another_key_or_size_is_not_joined() -> None:
    server, one, _ = pair()
    for settings, reason in (({"by": "namespace"}, "4 slices by uid"), ({"slices": 8}, "this member 8")):
        stranger = server.member("stranger", **settings)
        server.run(3, stranger)
        assert reason in stranger.refused
        assert "stranger" not in server.objects
    assert server.works(one)


def test_the_lease_of_a_crashed_member_is_deleted_in_the_end() -> None:
    server, _, two = pair()
    server.run(TIMES.lease_duration + 5, two)
    assert "one" in server.objects
    server.now += TIMES.forget
    server.run(40, two)
    assert "one" not in server.objects


def test_a_member_whose_lease_was_edited_comes_back_as_the_next_incarnation() -> None:
    # It never writes over the edit as the same one: it may have been fenced before.
    server, one, two = pair()
    server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
    server.watch(one)
    assert (one.number, one.owned()) == (0, frozenset())
    server.run(20, one, two)
    assert one.number == 2
    assert len(server.works(one)) == len(server.works(two)) == 2


def test_a_member_whose_watch_is_silent_finds_the_edit_by_its_next_renewal() -> None:
    server, one, _ = pair()
    server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
    server.now += TIMES.renew_period
    for _ in range(2):
        for request in one.requests(server.now):
            one.answered(request, server.execute(request), server.now)
    assert (one.number, server.works(one)) == (0, set())


def test_the_slices_of_a_member_whose_lease_was_edited_stay_its_own_until_it_would_have_run_out() -> None:
    server, _, two = pair()
    owners = server.table.owners
    server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
    server.run(TIMES.lease_duration - 1, two)
    assert server.table.owners == owners
    server.run(3, two)
    assert server.works(two) == {0, 1, 2, 3}
    record = server.objects["one"][1]
    assert (record.readable, record.holds, record.number) == (True, False, 1)


def test_each_edit_of_a_lease_may_hide_a_renewal() -> None:
    server, _, two = pair()
    for _ in range(3):
        server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
        server.run(TIMES.lease_duration - 1, two)
    assert len(server.works(two)) == 2


def test_a_member_whose_lease_was_edited_is_given_no_slice() -> None:
    server, one, two = pair()
    three = server.member("three")
    server.run(20, one, two, three)
    table = replace(server.table, owners=(three.me,) * SLICES, generation=server.table.generation + 1)
    server.store(TABLE, server.objects[TABLE][0], table)
    server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
    version, record = server.objects["three"]
    server.store("three", version, replace(record, holds=False))
    server.run(TIMES.settle + 1, two)
    assert server.owners() == ["two"] * SLICES


def renamed(table: Table, old: Incarnation, new: Incarnation) -> Table:
    """The next generation of a table, in which another incarnation owns the slices of one."""
    owners = tuple(new if owner == old else owner for owner in table.owners)
    return replace(table, owners=owners, generation=table.generation + 1)


def test_a_lease_without_a_record_is_fenced_as_the_newest_incarnation_that_the_table_names() -> None:
    server, _, two = pair()
    server.store(TABLE, server.objects[TABLE][0], renamed(server.table, Incarnation("one", 1), Incarnation("one", 7)))
    server.store("one", server.objects["one"][0], UNREADABLE_MEMBER)
    newcomer = server.member("newcomer")
    server.run(TIMES.lease_duration + 5, two, newcomer)
    assert server.objects["one"][1].number == 7
    assert len(server.works(two)) + len(server.works(newcomer)) == SLICES


def test_a_fence_of_a_lower_incarnation_is_raised_to_the_one_that_the_table_names() -> None:
    # It was written over an edited Lease, by a member that did not know of the newer incarnation.
    server, _, two = pair()
    server.store(TABLE, server.objects[TABLE][0], renamed(server.table, Incarnation("one", 1), Incarnation("one", 7)))
    version, record = server.objects["one"]
    server.store("one", version, replace(record, holds=False))
    server.run(TIMES.lease_duration - 1, two)
    assert len(server.works(two)) == 2
    server.run(3, two)
    assert server.objects["one"][1].number == 7
    assert server.works(two) == {0, 1, 2, 3}


def test_a_table_without_a_record_is_lost_and_written_anew_after_a_lease() -> None:
    server, one, two = pair()
    before = server.table
    server.store(TABLE, server.objects[TABLE][0], UNREADABLE_TABLE)
    server.watch(one)
    server.watch(two)
    assert server.works(one) == server.works(two) == set()
    server.run(TIMES.lease_duration - 1, one, two)
    assert server.table == UNREADABLE_TABLE
    server.run(TIMES.settle + 3, one, two)
    assert server.table.id not in {before.id, ""}
    assert len(server.works(one)) + len(server.works(two)) == SLICES
    assert not one.refused + two.refused


def test_a_member_that_joins_writes_a_table_without_a_record_anew() -> None:
    server = Server()
    server.store(TABLE, 0, UNREADABLE_TABLE)
    one = server.member("one")
    server.run(3, one)
    assert server.works(one) == {0, 1, 2, 3}


def test_a_table_of_another_format_is_not_joined() -> None:
    server = Server()
    newer = Table(id="-", generation=0, by="", owners=(), format=FORMAT + 1)
    server.store(TABLE, 0, newer)
    one = server.member("one")
    server.run(3, one)
    assert "format 2" in one.refused
    assert server.table == newer
