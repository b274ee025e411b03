"""The requests of a shard group: what is logged, and what comes of Leases that something else has changed."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.errors import ForbiddenError
from kinformer.operators._shard_records import (
    UNREADABLE_MEMBER,
    UNREADABLE_TABLE,
    DeleteMember,
    Done,
    ListMembers,
    MemberRecord,
    ReadMember,
    ReadTable,
    Table,
    Unanswered,
    WriteMember,
    WriteTable,
)
from kinformer.operators._shard_requests import ShardRequests
from tests.properties.lease_server import LeaseLine, LeaseServer

if TYPE_CHECKING:
    from kinformer.resources import Resource

pytestmark = pytest.mark.looptime


class NoDeletes(LeaseLine):
    """A client whose role has no right to delete."""

    async def delete(self, resource: Resource, name: str, /, *, namespace: str, resource_version: str) -> None:
        raise ForbiddenError(name, status=403)


def requests_of(line: LeaseLine) -> ShardRequests:
    return ShardRequests(line, "sites", "a", "ops", timeout=5, lease_duration=15, owner=None)


def edit(server: LeaseServer, name: str) -> None:
    """Change the annotation of a Lease as a person may."""
    lease: dict[str, Any] = server.leases[name].to_dict()
    head = lease["metadata"]
    annotations = {**head["annotations"], "kinformer.dev/shards": "{"}
    server.store(name, {**lease, "metadata": {**head, "annotations": annotations}}, None)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_edited_leases_are_read_as_such_and_logged_once_until_they_have_records_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = LeaseServer(random.Random(1))
    requests = requests_of(LeaseLine(server))
    record = MemberRecord(number=1, table="t")
    table = Table(id="t", generation=1, by="uid", owners=(None,) * 256)
    for _ in range(2):
        at = {name: int(lease.resource_version or 0) for name, lease in server.leases.items()}
        assert isinstance(await requests.send(WriteMember("a", at.get("sites-a", 0), record, 0.0)), Done)
        assert isinstance(await requests.send(WriteTable(at.get("sites", 0), table)), Done)
        assert await requests.send(ReadMember("a", 0)) == Done(int(server.leases["sites-a"].resource_version), record)
        edit(server, "sites-a")
        edit(server, "sites")
        caplog.clear()
        for _ in range(5):
            version = int(server.leases["sites-a"].resource_version)
            assert await requests.send(ReadMember("a", 0)) == Done(version, UNREADABLE_MEMBER)
            assert await requests.send(ListMembers()) == Done(server.version, {"a": (version, UNREADABLE_MEMBER)})
            assert await requests.send(ReadTable(0)) == Done(server.version, UNREADABLE_TABLE)
        assert requests.last_error is None
        assert [("ops/sites-a" in text, "ops/sites has" in text) for text in warnings(caplog)] == [
            (True, False),
            (False, True),
        ]
        # A table that was read after it was written anew.
        await requests.send(WriteTable(server.version, table))
        await requests.send(ReadTable(0))


async def test_a_request_that_always_fails_is_logged_once_though_others_succeed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = LeaseServer(random.Random(1))
    requests = requests_of(NoDeletes(server))
    for _ in range(5):
        assert isinstance(await requests.send(DeleteMember("old", 7)), Unanswered)
        assert isinstance(requests.last_error, ForbiddenError)
        assert isinstance(await requests.send(ReadTable(0)), Done)
    assert len(warnings(caplog)) == 1
    assert isinstance(await requests.send(DeleteMember("other", 7)), Unanswered)
    assert len(warnings(caplog)) == 2
