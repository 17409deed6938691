"""An answer's alternatives and frontier as wire bytes, written by one compiled call from what the engine tells.

They are half of an answer's fields, and no protobuf object is made for any of them. The bytes are those of the
contract's messages serialised deterministically: fields by number, zeros left out, map entries by key; a test holds
that against `responses.response_of`. Numbers of fields come from the descriptors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from execution_strategy.v1 import response_pb2
from google.protobuf.struct_pb2 import Value
from numba import njit
from numpy.typing import NDArray

from engine import telling as at
from engine.catalogue import Candidate, CandidateSet
from engine.told import CAUSE_NAMES, LEAST_TOLD_BPS, NO_CAUSE, Told

_RESPONSE: Final = response_pb2.ExecutionStrategyResponse.DESCRIPTOR
VARINT, DOUBLE, BYTES = 0, 1, 2


def tag_of(message: Any, name: str, kind: int) -> int:
    """The tag of a field of a Descriptor (of whichever backend), which must fit into a byte."""
    tag = message.fields_by_name[name].number << 3 | kind
    if tag > 127:
        raise ValueError(f"{name} has a tag of two bytes")
    return int(tag)


def varint(number: int) -> bytes:
    """Of a number of at least 0."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def tag_bytes(message: Any, name: str, kind: int) -> bytes:
    """`tag_of` as bytes, as many as it takes."""
    return varint(message.fields_by_name[name].number << 3 | kind)


# Of what is shorter than this the length is looked up.
_KNOWN_LENGTHS: Final = 1_024
_LENGTHS: Final = tuple(varint(number) for number in range(_KNOWN_LENGTHS))


def field(tag: bytes, body: bytes) -> bytes:
    """A message or a text as a field."""
    length = len(body)
    return tag + (_LENGTHS[length] if length < _KNOWN_LENGTHS else varint(length)) + body


def text_field(tag: bytes, text: str) -> bytes:
    """A text as a field; nothing where it is empty."""
    return field(tag, text.encode()) if text else b""


_OUTCOMES = response_pb2.ExpectedOutcomes.DESCRIPTOR
_ALTERNATIVE = response_pb2.AlternativeStrategy.DESCRIPTOR
_POINT = response_pb2.FrontierPoint.DESCRIPTOR
ALTERNATIVE_TAG: Final = tag_of(_RESPONSE, "alternative_strategies", BYTES)
POINT_TAG: Final = tag_of(_RESPONSE, "efficient_frontier", BYTES)
OUTCOMES_TAG: Final = tag_of(_ALTERNATIVE, "expected_outcomes", BYTES)
UTILITY_GAP_TAG: Final = tag_of(_ALTERNATIVE, "utility_difference_bps", DOUBLE)
COST_GAP_TAG: Final = tag_of(_ALTERNATIVE, "cost_difference_bps", DOUBLE)
REASON_TAG: Final = tag_of(_ALTERNATIVE, "reason", BYTES)
# In the order of TOLD_OUTCOMES, which is that of the fields' numbers; the second is the only integer.
OUTCOME_TAGS: Final = tuple(
    tag_of(_OUTCOMES, name, VARINT if name == "estimated_time_minutes" else DOUBLE)
    for name in (
        "estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability", "risk_score",
        "cost_standard_deviation", "cost_quantile_10", "cost_quantile_90", "mean_execution_minutes", "utility_bps",
    )
)  # fmt: skip
COST_TAG, DEVIATION_TAG, MINUTES_TAG = (
    tag_of(_POINT, name, DOUBLE) for name in ("expected_cost_bps", "standard_deviation_bps", "horizon_minutes")
)
CHOSEN_TAG: Final = tag_of(_POINT, "chosen", VARINT)
_MINUTES_AT: Final = 1
# Bytes of an alternative or a point beside those of its candidate: figures, lengths and a reason.
_MOST_FIGURES: Final = 384
# Texts of a reason (engine.told.reason_of): the causes, then what is said where none stands out.
_WORDS: Final = [name.encode() for name in (*CAUSE_NAMES, NO_CAUSE)]
WORDS: Final = np.frombuffer(b"".join(_WORDS), dtype=np.uint8)
WORD_ENDS: Final = np.cumsum([0, *map(len, _WORDS)])
_NO_CAUSE_AT: Final = len(CAUSE_NAMES)
# Larger figures are for Python to write: they are none that an order has.
_MOST_WRITTEN: Final = 1e15
_SPLIT: Final = 134217729.0  # 2^27 + 1


@dataclass(frozen=True, slots=True)
class CatalogueBytes:
    """What is always the same of every candidate. Of candidate n, `data` from ends[n, 0] to ends[n, 1] are its names as
    fields of an alternative or a point, and on to ends[n, 2] its parameters as map entries. places (n, 2): where in
    `data` the bytes of its horizon and of its participation go, -1 where they are fixed."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    places: NDArray[np.int64]
    longest: int


def catalogue_bytes(catalogue: CandidateSet) -> CatalogueBytes:
    """Of a snapshot's candidates; takes milliseconds."""
    data = bytearray()
    ends = np.zeros((len(catalogue.candidates), 3), dtype=np.int64)
    places = np.full((len(catalogue.candidates), 2), -1, dtype=np.int64)
    for n, candidate in enumerate(catalogue.candidates):
        ends[n, 0] = len(data)
        point = response_pb2.FrontierPoint(strategy_name=candidate.strategy_name, algorithm=candidate.spec.name)
        data += point.SerializeToString()
        ends[n, 1] = len(data)
        for name, value in sorted(_parameters(candidate).items()):
            entry = response_pb2.AlternativeStrategy()
            entry.parameters[name].CopyFrom(value)
            data += entry.SerializeToString()
            # A number's eight bytes are the last of its entry.
            if name == "duration_minutes":
                places[n, 0] = len(data) - 8
            elif name == "participation_rate" and "participation_rate" not in candidate.parameters:
                places[n, 1] = len(data) - 8
        ends[n, 2] = len(data)
    longest = int((ends[:, 2] - ends[:, 0]).max(initial=0))
    return CatalogueBytes(np.frombuffer(bytes(data), dtype=np.uint8), ends, places, longest)


def _parameters(candidate: Candidate) -> dict[str, Value]:
    """As `engine.told.parameters_of` names them, with what varies left at a number."""
    numbers = {**candidate.parameters, "dark_pool_ratio": candidate.dark_pool_ratio}
    numbers.setdefault("participation_rate", 0.0)
    found = {name: Value(number_value=value) for name, value in numbers.items()}
    return found | {"volatility_adjustment": Value(bool_value=candidate.spec.volatility_adjustment)}


class ToldWriter:
    """Belongs to one event loop. Remembers the bytes of the catalogue that it wrote for last."""

    def __init__(self) -> None:
        self._catalogue: CandidateSet | None = None
        self._bytes: CatalogueBytes | None = None
        self.out = np.empty(1 << 14, dtype=np.uint8)

    def kept(self, catalogue: CandidateSet) -> CatalogueBytes:
        """What is always the same of this catalogue's candidates."""
        if self._bytes is None or catalogue is not self._catalogue:
            self._catalogue, self._bytes = catalogue, catalogue_bytes(catalogue)
        return self._bytes

    def room(self, told: Told, more: int = 0) -> NDArray[np.uint8]:
        """Long enough for what is told and so many bytes more; of no meaning before or after."""
        most = (len(told.told) + len(told.points)) * (self.kept(told.catalogue).longest + _MOST_FIGURES) + more
        if most > len(self.out):
            self.out = np.empty(2 * most, dtype=np.uint8)
        return self.out

    def write(self, told: Told) -> tuple[bytes, bytes] | None:
        """(alternative_strategies, efficient_frontier) as fields of an answer; None where a reason's figures are too
        large to be written here."""
        kept, out = self.kept(told.catalogue), self.room(told)
        middle, end = write_told(out, 0, told.told, told.points, kept.data, kept.ends, kept.places)
        return None if middle < 0 else (out[:middle].tobytes(), out[middle:end].tobytes())


@njit(cache=True)
def put_varint(out, place, value):
    while value >= 128:
        out[place] = (value & 127) | 128
        value >>= 7
        place += 1
    out[place] = value
    return place + 1


@njit(cache=True)
def varint_bytes(value):
    count = 1
    while value >= 128:
        value >>= 7
        count += 1
    return count


@njit(cache=True)
def put_raw(out, place, bits):
    """The eight bytes of a double, lowest first."""
    for byte in range(8):
        out[place + byte] = (bits >> (8 * byte)) & 255
    return place + 8


@njit(cache=True)
def put_double(out, place, tag, bits):
    """A field that is left out where all its bits are zero."""
    if bits == 0:
        return place
    out[place] = tag
    return put_raw(out, place + 1, bits)


@njit(cache=True)
def put_bytes(out, place, data, first, end):
    after = place + end - first
    out[place:after] = data[first:end]
    return after


@njit(cache=True)
def outcomes_bytes(row, bits):
    """How long a row's outcomes are."""
    total = 0
    for column in range(len(OUTCOME_TAGS)):
        if column == _MINUTES_AT:
            minutes = int(row[column])
            total += 1 + varint_bytes(minutes) if minutes != 0 else 0
        elif bits[column] != 0:
            total += 9
    return total


@njit(cache=True)
def put_outcomes(out, place, row, bits):
    for column in range(len(OUTCOME_TAGS)):
        if column == _MINUTES_AT:
            minutes = int(row[column])
            if minutes != 0:
                out[place] = OUTCOME_TAGS[column]
                place = put_varint(out, place + 1, minutes)
        else:
            place = put_double(out, place, OUTCOME_TAGS[column], bits[column])
    return place


@njit(cache=True)
def rounded_hundredths(value):
    """(whole part, hundredths) of a figure in [0, 1e15) as "%.2f" rounds it: to nearest of what the double stands for
    exactly, of two equally near ones to the even. The product with 100 is taken in two exact parts."""
    whole = np.int64(math.floor(value))
    part = value - whole
    high = part * _SPLIT
    high = high - (high - part)
    low = (part - high) * 100.0
    high = high * 100.0
    hundredths = np.int64(math.floor(high + low))
    beyond = ((high - hundredths) - 0.5) + low
    if beyond > 0.0 or (beyond == 0.0 and hundredths % 2 == 1):
        hundredths += 1
    return (whole + 1, np.int64(0)) if hundredths == 100 else (whole, hundredths)


@njit(cache=True)
def put_cause(out, place, cause, gap):
    """A cause and its bps as "%+.2f" writes them, less than 1e15."""
    place = put_bytes(out, place, WORDS, WORD_ENDS[cause], WORD_ENDS[cause + 1])
    out[place], out[place + 1] = 32, 45 if gap < 0.0 else 43
    place += 2
    whole, hundredths = rounded_hundredths(abs(gap))
    digits, rest = 1, whole
    while rest >= 10:
        rest //= 10
        digits += 1
    for digit in range(digits - 1, -1, -1):
        out[place + digit] = 48 + whole % 10
        whole //= 10
    place += digits
    out[place], out[place + 1], out[place + 2] = 46, 48 + hundredths // 10, 48 + hundredths % 10
    return place + 3


@njit(cache=True)
def put_reason(out, place, row):
    """`engine.told.reason_of` a row, without tag and length; -1 where a figure is too large."""
    worst, best = row[at.TOLD_WORST_GAP], row[at.TOLD_BEST_GAP]
    if worst > LEAST_TOLD_BPS:
        if worst >= _MOST_WRITTEN:
            return -1
        place = put_cause(out, place, int(row[at.TOLD_WORST]), worst)
    else:
        place = put_bytes(out, place, WORDS, WORD_ENDS[_NO_CAUSE_AT], WORD_ENDS[_NO_CAUSE_AT + 1])
    if best < -LEAST_TOLD_BPS:
        if best <= -_MOST_WRITTEN:
            return -1
        out[place], out[place + 1] = 44, 32
        place = put_cause(out, place + 2, int(row[at.TOLD_BEST]), best)
    return place


@njit(cache=True)
def _put_alternative(out, place, row, bits, data, ends, places):
    """One alternative; -1 where its reason cannot be written."""
    n = int(row[at.TOLD_INDEX])
    outcomes = outcomes_bytes(row, bits)
    size = ends[n, 2] - ends[n, 0] + 1 + varint_bytes(outcomes) + outcomes
    size += 9 if bits[at.TOLD_UTILITY_GAP] != 0 else 0
    size += 9 if bits[at.TOLD_COST_GAP] != 0 else 0
    # The reason goes where nothing will stand before it is copied to its place; it has one to 127 bytes.
    aside = place + size + 16
    end = put_reason(out, aside, row)
    if end < 0:
        return end
    length = end - aside
    size += 2 + length
    out[place] = ALTERNATIVE_TAG
    place = put_varint(out, place + 1, size)
    begin = place
    place = put_bytes(out, place, data, ends[n, 0], ends[n, 2])
    if places[n, 0] >= 0:
        put_raw(out, begin + places[n, 0] - ends[n, 0], bits[at.TOLD_MINUTES])
    if places[n, 1] >= 0:
        put_raw(out, begin + places[n, 1] - ends[n, 0], bits[at.TOLD_PARTICIPATION])
    out[place] = OUTCOMES_TAG
    place = put_varint(out, place + 1, outcomes)
    place = put_outcomes(out, place, row, bits)
    place = put_double(out, place, UTILITY_GAP_TAG, bits[at.TOLD_UTILITY_GAP])
    place = put_double(out, place, COST_GAP_TAG, bits[at.TOLD_COST_GAP])
    out[place], out[place + 1] = REASON_TAG, length
    return put_bytes(out, place + 2, out, aside, end)


@njit(cache=True)
def _put_point(out, place, row, bits, best, data, ends):
    n = int(row[at.POINT_INDEX])
    size = ends[n, 1] - ends[n, 0] + (2 if n == best else 0)
    for column in (at.POINT_COST, at.POINT_DEVIATION, at.POINT_MINUTES):
        size += 9 if bits[column] != 0 else 0
    out[place] = POINT_TAG
    place = put_varint(out, place + 1, size)
    place = put_bytes(out, place, data, ends[n, 0], ends[n, 1])
    place = put_double(out, place, COST_TAG, bits[at.POINT_COST])
    place = put_double(out, place, DEVIATION_TAG, bits[at.POINT_DEVIATION])
    place = put_double(out, place, MINUTES_TAG, bits[at.POINT_MINUTES])
    if n == best:
        out[place], out[place + 1] = CHOSEN_TAG, 1
        place += 2
    return place


@njit(cache=True)
def write_told(out, place, told, points, data, ends, places):
    """Alternatives and then points into `out` from `place` on, which must be long enough; where the one ends and the
    other does. (-1, -1) where a reason cannot be written."""
    told_bits, point_bits = told.view(np.int64), points.view(np.int64)
    for k in range(1, told.shape[0]):
        place = _put_alternative(out, place, told[k], told_bits[k], data, ends, places)
        if place < 0:
            return place, place
    middle = place
    best = int(told[0, at.TOLD_INDEX])
    for k in range(points.shape[0]):
        place = _put_point(out, place, points[k], point_bits[k], best, data, ends)
    return middle, place
