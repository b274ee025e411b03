"""The times of schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kinformer.testing._apiserver.controllers.cron_schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("*/15 * * * *", None, "2026-01-01T00:00", "2026-01-01T00:15"),
        ("30 2 * * *", None, "2026-01-01T02:30", "2026-01-02T02:30"),
        ("0 0 1 */3 *", None, "2026-01-01T00:00", "2026-04-01T00:00"),
        ("0 9-17/4 * * mon-fri", None, "2026-01-02T13:00", "2026-01-02T17:00"),
        ("0 9-17/4 * * mon-fri", None, "2026-01-02T17:00", "2026-01-05T09:00"),
        # With both, either day counts.
        ("0 0 13 * 5", None, "2026-01-01T00:00", "2026-01-02T00:00"),
        ("0 0 * * 7", None, "2026-01-01T00:00", "2026-01-04T00:00"),
        ("@hourly", None, "2026-01-01T00:30", "2026-01-01T01:00"),
        ("@every 1h30m", None, "2026-01-01T00:00", "2026-01-01T01:30"),
        ("0 0 29 feb *", None, "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 12 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T10:00"),
        ("0 12 * * *", "Europe/Berlin", "2026-01-01T00:00", "2026-01-01T11:00"),
    ],
)
def test_the_next_time(schedule: str, zone: str | None, after: str, expected: str) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert Schedule.parse(schedule, zone).after(moment(after)) == moment(expected)


def test_a_day_that_never_comes_has_no_next_time() -> None:
    assert Schedule.parse("0 0 30 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *", "@every x"]
)
def test_another_text_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"expected|between|parse"):
        Schedule.parse(schedule)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown time zone Mars/Base"):
        Schedule.parse("* * * * *", "Mars/Base")
