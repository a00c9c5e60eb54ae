"""Local hours and weekdays, by arithmetic on whole columns."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.eta.columns import Floats

_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2060
_US_PER_HOUR: Final = 3600e6
_US_PER_DAY: Final = 24 * _US_PER_HOUR
_EPOCH_WEEKDAY: Final = 3
"""1 January 1970 was a Thursday; Monday is 0."""


@lru_cache(maxsize=64)
def _transitions(time_zone: str) -> tuple[Floats, Floats]:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problem = FieldProblem("time_zone", f"there is no time zone '{time_zone}'")
        raise InvalidInput("The time zone is not known", problems=[problem]) from None
    moment = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    end = datetime(_LAST_YEAR, 1, 1, tzinfo=UTC)
    times, offsets = [moment.timestamp() * 1e6], [_offset_us(zone, moment)]
    while moment < end:
        following = moment + timedelta(days=14)
        if _offset_us(zone, following) != offsets[-1]:
            low, high = moment, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                if _offset_us(zone, middle) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            change = high.replace(second=0, microsecond=0)
            times.append(change.timestamp() * 1e6)
            offsets.append(_offset_us(zone, following))
        moment = following
    return np.array(times), np.array(offsets)


def _offset_us(zone: ZoneInfo, moment: datetime) -> float:
    offset = moment.astimezone(zone).utcoffset()
    return offset.total_seconds() * 1e6 if offset else 0.0


def local_clock(times_us: Floats, time_zone: str) -> tuple[Floats, Floats]:
    """Local hour with its fraction and local weekday (Monday is 0); NaN for a missing time.

    Raises:
        InvalidInput: a time zone that is not in the IANA data.
    """
    times, offsets = _transitions(time_zone)
    # NaN sorts last; the offset it then gets does not matter, the sum stays NaN.
    place = np.maximum(times.searchsorted(times_us, side="right") - 1, 0)
    local = times_us + offsets[place]
    days = np.floor(local / _US_PER_DAY)
    return (local - days * _US_PER_DAY) / _US_PER_HOUR, (days + _EPOCH_WEEKDAY) % 7.0
