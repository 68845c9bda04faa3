"""Numbers as text: as many digits as the standard error supports, "n/a" with a reason for what is no number."""

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeGuard

Number = float | int | None
_MAX_DECIMALS = 7


class Cell(NamedTuple):
    """One number of a table; `value` is the unrounded one."""

    text: str
    error: str = ""
    value: str = ""
    note: str = ""
    mark: str = ""
    interval: str = ""


def is_number(value: Number) -> TypeGuard[float]:
    """Whether `value` is there and finite."""
    return value is not None and math.isfinite(value)


def missing(value: Number, why_none: str = "not computed") -> str:
    """Why `value` is no number to show; empty when it is one."""
    if value is None:
        return why_none
    if math.isnan(value):
        return "undefined, the computation gave no number"
    return "infinite" if math.isinf(value) else ""


def plain(value: Number, digits: int = 4) -> str:
    """`value` to `digits` significant digits, or all of them before the decimal point."""
    if not is_number(value):
        return "n/a"
    if isinstance(value, int) or value == 0:
        return f"{value:,}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    whole = 1 + math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits - whole)}f}"


def told(value: Number, digits: int = 4, note: str | None = None) -> str:
    """`plain`, with the reason (`note`, where one is known) when there is no number."""
    return plain(value, digits) if is_number(value) else f"n/a ({note or missing(value)})"


def short(value: Number) -> str:
    """`value` to three significant digits without trailing zeros, as one writes a setting."""
    return f"{value:.3g}" if is_number(value) else "n/a"


def decimals_for(errors: Iterable[Number]) -> int | None:
    """Decimals for numbers that stand in one column: two digits of the median standard error, one of the least.

    None when no error is a positive number.
    """
    known = sorted(e for e in errors if is_number(e) and e > 0)
    if not known:
        return None
    typical, least = known[len(known) // 2], known[0]
    return min(max(0, 1 - math.floor(math.log10(typical)), -math.floor(math.log10(least))), _MAX_DECIMALS)


def rounded(value: Number, se: Number, decimals: int | None = None) -> tuple[str, str]:
    """Mean and standard error, to two digits of the error unless `decimals` are given.

    A mean that is no number has no error; an error that is no number is "n/a".
    """
    if not is_number(value):
        return "n/a", ""
    decimals = decimals_for([se]) if decimals is None else decimals
    text = plain(value) if decimals is None else f"{value:,.{decimals}f}"
    if not is_number(se):
        return text, "n/a"
    return text, "0" if se == 0 or decimals is None else f"{se:,.{decimals}f}"


def with_error(value: Number, se: Number) -> str:
    """`19.41 ± 0.32`."""
    text, error = rounded(value, se)
    return f"{text} ± {error}" if error else text


def told_with_error(value: Number, se: Number) -> str:
    """`with_error`, with the reason when there is no number."""
    return with_error(value, se) if is_number(value) else told(value)


def cell(value: Number, se: Number = None, why_none: str = "not computed", decimals: int | None = None) -> Cell:
    """A cell for an estimate and its standard error; the note says what is missing."""
    if not is_number(value):
        return Cell("n/a", note=missing(value, why_none))
    text, error = rounded(value, se, decimals)
    return Cell(text, error, str(value), note=missing(se, "no standard error") if error == "n/a" else "")


def exact(value: Number, why_none: str = "not computed", decimals: int | None = None) -> Cell:
    """A cell for a number that has no standard error."""
    return cell(value, 0.0, why_none, decimals)._replace(error="")


def banded(value: Number, low: Number, high: Number) -> Cell:
    """A cell for a number and its interval, to two digits of a quarter of its width: of a standard error, about."""
    if not is_number(value):
        return cell(value)
    if not (is_number(low) and is_number(high)):
        return exact(value)._replace(note="no interval")
    decimals = decimals_for([(high - low) / 4])
    text, *ends = (exact(number, decimals=decimals).text for number in (value, low, high))
    return Cell(text, value=str(value), interval=" to ".join(ends))


def percent(share: Number, digits: int = 1) -> str:
    """`0.247` as `24.7 %`; the reason when there is no number."""
    return f"{100 * share:.{digits}f} %" if is_number(share) else told(share)


def seconds(duration: float) -> str:
    """`75.2` as `1 min 15 s`."""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
