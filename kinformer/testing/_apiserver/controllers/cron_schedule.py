"""The schedules of CronJobs: five fields, or a name such as `@hourly`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Schedule"]

_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
)}  # fmt: skip
_DAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_LONGEST_SEARCH: Final = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule.

    Attributes:
        minutes: the minutes of an hour.
        hours: the hours of a day.
        days: the days of a month.
        months: the months.
        weekdays: the days of a week; 0 is Sunday.
        either: a day matches if the month's or the week's days contain it; otherwise both must.
        zone: the time zone.
        every: seconds between two times, for `@every`; 0 for the fields.
    """

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either: bool = False
    zone: tzinfo = UTC
    every: float = 0.0

    @classmethod
    def parse(cls, text: str, zone: str | None = None) -> Schedule:
        """Read a schedule.

        Raises:
            ValueError: it does not parse, or there is no such time zone.
        """
        try:
            where: tzinfo = ZoneInfo(zone) if zone else UTC
        except (ZoneInfoNotFoundError, ValueError, OSError):
            msg = f"unknown time zone {zone}"
            raise ValueError(msg) from None
        text = text.strip()
        if text.startswith("@every "):
            return cls(zone=where, every=_duration(text.removeprefix("@every ")))
        fields = _NAMED.get(text, text).split()
        if len(fields) != 5:
            msg = f"expected exactly 5 fields, found {len(fields)}: {text}"
            raise ValueError(msg)
        minutes, hours, days, months, weekdays = fields
        return cls(
            _field(minutes, 0, 59),
            _field(hours, 0, 23),
            _field(days, 1, 31),
            _field(months, 1, 12, _MONTHS),
            frozenset(day % 7 for day in _field(weekdays, 0, 7, _DAYS)),
            either=not days.startswith(("*", "?")) and not weekdays.startswith(("*", "?")),
            zone=where,
        )

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time after a moment, in UTC; `None` if there is none in five years."""
        if self.every:
            return (moment + timedelta(seconds=self.every)).replace(microsecond=0)
        local = moment.astimezone(self.zone).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = local + _LONGEST_SEARCH
        while local < end:
            if local.month not in self.months or not self._has_day(local):
                local = local.replace(hour=0, minute=0) + timedelta(days=1)
            elif local.hour not in self.hours:
                local = local.replace(minute=0) + timedelta(hours=1)
            elif local.minute not in self.minutes:
                local += timedelta(minutes=1)
            else:
                found = local.astimezone(UTC)
                if found > moment:
                    return found
                local += timedelta(minutes=1)
        return None

    def _has_day(self, local: datetime) -> bool:
        of_month, of_week = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def _field(text: str, least: int, most: int, names: dict[str, int] | None = None) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first in {"*", "?"}:
            begin, end = least, most
        else:
            begin = _number(first, names)
            end = _number(last, names) if dash else most if slash else begin
        width = _number(step, None) if slash else 1
        if not least <= begin <= end <= most or width < 1:
            msg = f"{part!r} is not between {least} and {most}"
            raise ValueError(msg)
        found |= set(range(begin, end + 1, width))
    return frozenset(found)


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdecimal():
        msg = f"failed to parse number: {text!r}"
        raise ValueError(msg)
    return int(text)


def _duration(text: str) -> float:
    total, number = 0.0, ""
    for letter in text.strip():
        if letter.isdecimal() or letter == ".":
            number += letter
        elif letter in "smh" and number:
            total += float(number) * {"s": 1, "m": 60, "h": 3600}[letter]
            number = ""
        else:
            break
    else:
        if not number and total:
            return total
    msg = f"failed to parse duration: {text!r}"
    raise ValueError(msg)
