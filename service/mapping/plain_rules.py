"""Whether a message plainly keeps the rules of the .proto, for the many that do.

The checks are made once a type of message, from the same options that protovalidate reads, and cost a tenth of running
all its rules. They say "plainly" or nothing: a rule that is not known here, a text that is not ASCII, whatever else is
unusual is left to protovalidate, which alone says what is wrong. tests/property/test_plain_rules.py holds that what is
plain breaks no rule.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf.message import Message

Check: TypeAlias = Callable[[Any], bool]
# Where protovalidate's options of the .proto are named.
_RULES: Final = "buf.validate"
# `(?i)` within a group holds until the group ends; Python says so with a group of its own.
_INNER_FLAG: Final = "((?i)"
# What patterns are not translated with: escapes (a class like \s is not the same to everybody), brackets in brackets.
_UNUSUAL: Final = re.compile(r"\\|\[[^\]]*[()\[]")


class _Unknown(Exception):
    """A rule that is left to protovalidate."""


class _Checks(NamedTuple):
    """Of one type of message. fields: what a set field must keep, and whether it must be set, by its descriptor;
    `required` of them must be, and `oneofs` too. A field that nobody set is not looked at: it is among those that must
    be set where its default breaks a rule. Of a type with a rule that is not known here nothing is plain."""

    is_known: bool
    fields: Mapping[Any, tuple[Check | None, bool]] = MappingProxyType({})
    required: int = 0
    oneofs: tuple[str, ...] = ()


def is_plain(message: Message) -> bool:
    """True only where the message breaks no rule."""
    return _keeps(_checks_of(message.DESCRIPTOR), message)


def _keeps(checks: _Checks, message: Any) -> bool:
    if not checks.is_known:
        return False
    fields, required = checks.fields, 0
    for field, value in message.ListFields():
        known = fields.get(field)
        if known is not None:
            check, is_required = known
            if check is not None and not check(value):
                return False
            required += is_required
    return required == checks.required and (not checks.oneofs or all(map(message.WhichOneof, checks.oneofs)))


@cache
def _checks_of(descriptor: Any) -> _Checks:
    """Of a Descriptor (of whichever backend)."""
    try:
        return _made_of(descriptor)
    except _Unknown:
        return _Checks(is_known=False)


def _made_of(descriptor: Any) -> _Checks:
    if _rules_of(descriptor, "message") is not None:
        raise _Unknown
    fields: dict[Any, tuple[Check | None, bool]] = {}
    oneofs = []
    for field in descriptor.fields:
        rules = _rules_of(field, "field")
        check = _check_of(field, {} if rules is None else _by_name(rules))
        is_required = rules is not None and rules.required
        if is_required and not field.has_presence:
            raise _Unknown
        if check is not None and not field.has_presence:
            is_required = not check(() if field.is_repeated else field.default_value)
        if check is not None or is_required:
            fields[field] = check, is_required
    for oneof in descriptor.oneofs:
        rules = _rules_of(oneof, "oneof")
        if rules is not None and rules.required:
            oneofs.append(oneof.name)
    required = sum(is_required for _, is_required in fields.values())
    return _Checks(True, fields, required, tuple(oneofs))


def _rules_of(described: Any, kind: str) -> Any:
    """The rules of a message, field or oneof."""
    found = {option.full_name: value for option, value in described.GetOptions().ListFields()}
    return found.get(f"{_RULES}.{kind}")


def _by_name(rules: Any) -> dict[str, Any]:
    return {one.name: value for one, value in rules.ListFields()}


def _check_of(field: Any, rules: dict[str, Any]) -> Check | None:
    """What a field must keep; None where anything will do. Raises _Unknown."""
    kinds = {name: value for name, value in rules.items() if name != "required"}
    if len(kinds) > 1:
        raise _Unknown
    kind, own = next(iter(kinds.items()), ("", None))
    if field.is_repeated:
        return _of_map(field, kind, own) if _is_map(field) else _of_list(field, kind, own)
    return _of_one(field, kind, own)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _of_one(field: Any, kind: str, rules: Any) -> Check | None:
    if kind in _MAKERS:
        return _MAKERS[kind](_by_name(rules), field)
    if kind:
        raise _Unknown
    nested = field.message_type
    if nested is None or nested.full_name.startswith("google."):
        return None  # types of protobuf's own have rules only where a field gives them one
    checks = _checks_of(nested)
    return lambda message: _keeps(checks, message)


def _of_list(field: Any, kind: str, rules: Any) -> Check | None:
    found: dict[str, Any] = _named(kind, "repeated", rules)
    least, most = found.pop("min_items", 0), found.pop("max_items", sys.maxsize)
    is_unique, items = found.pop("unique", False), found.pop("items", None)
    each = _of_entry(field, items)
    if found:
        raise _Unknown
    is_bare_allowed = not least

    def check(values: Any) -> bool:
        if not values:
            return is_bare_allowed
        if not least <= len(values) <= most or (is_unique and len(set(values)) < len(values)):
            return False
        return each is None or all(map(each, values))

    return check


def _of_map(field: Any, kind: str, rules: Any) -> Check | None:
    found: dict[str, Any] = _named(kind, "map", rules)
    most, keys, values = found.pop("max_pairs", sys.maxsize), found.pop("keys", None), found.pop("values", None)
    entry = field.message_type.fields_by_name
    of_key, of_value = _of_entry(entry["key"], keys), _of_entry(entry["value"], values)
    if found:
        raise _Unknown

    def check(pairs: Any) -> bool:
        if not pairs:
            return True
        if len(pairs) > most or (of_key is not None and not all(map(of_key, pairs))):
            return False
        return of_value is None or all(map(of_value, pairs.values()))

    return check


def _of_entry(field: Any, rules: Any) -> Check | None:
    """Of one entry of a list or of one side of a map."""
    kinds = {} if rules is None else _by_name(rules)
    if len(kinds) > 1:
        raise _Unknown
    return _of_one(field, *next(iter(kinds.items()), ("", None)))


def _named(kind: str, expected: str, rules: Any) -> dict[str, Any]:
    if kind not in ("", expected):
        raise _Unknown
    return {} if rules is None else _by_name(rules)


def _of_double(rules: dict[str, Any], _field: Any) -> Check:
    above, least = rules.pop("gt", -math.inf), rules.pop("gte", -math.inf)
    below, most = rules.pop("lt", math.inf), rules.pop("lte", math.inf)
    # What is not finite is not plain, whether or not a rule says so.
    rules.pop("finite", None)
    low = max(math.nextafter(above, math.inf), least)
    high = min(math.nextafter(below, -math.inf), most)
    if rules or low > high:  # the wrong way round the bounds mean what lies outside
        raise _Unknown
    return lambda number: low <= number <= high


def _of_integer(rules: dict[str, Any], _field: Any) -> Check:
    above, least = rules.pop("gt", -sys.maxsize), rules.pop("gte", -sys.maxsize)
    below, most = rules.pop("lt", sys.maxsize), rules.pop("lte", sys.maxsize)
    low, high = max(above + 1, least), min(below - 1, most)
    if rules or low > high:
        raise _Unknown
    return lambda number: low <= number <= high


def _of_enum(rules: dict[str, Any], field: Any) -> Check:
    if not rules.pop("defined_only", False) and "in" not in rules:
        raise _Unknown
    numbers = {value.number for value in field.enum_type.values}
    allowed = frozenset((numbers & set(rules.pop("in", numbers))) - set(rules.pop("not_in", ())))
    if rules:
        raise _Unknown
    return allowed.__contains__


def _of_text(rules: dict[str, Any], _field: Any) -> Check:
    least, most = rules.pop("min_len", 0), rules.pop("max_len", sys.maxsize)
    pattern = rules.pop("pattern", None)
    if rules:
        raise _Unknown
    if pattern is None:
        return lambda text: least <= len(text) <= most
    matches = _whole(pattern)
    is_bare_allowed = not least and matches("") is not None

    def check(text: str) -> bool:
        if not text:
            return is_bare_allowed
        return least <= len(text) <= most and text.isascii() and matches(text) is not None

    return check


def _whole(pattern: str) -> Callable[[str], object]:
    """Matches texts of ASCII that the pattern matches from their first character to their last. Raises _Unknown."""
    if not (pattern.startswith("^") and pattern.endswith("$")) or _UNUSUAL.search(pattern):
        raise _Unknown
    try:
        return re.compile(_own_groups(pattern[1:-1]), re.ASCII).fullmatch
    except re.error as error:
        raise _Unknown from error


def _own_groups(pattern: str) -> str:
    """`((?i)a|b)` as `((?i:a|b))`; every parenthesis is one of a group."""
    before, flag, after = pattern.partition(_INNER_FLAG)
    if not flag:
        return pattern
    depth, end = 1, 0
    while depth and end < len(after):
        depth += {"(": 1, ")": -1}.get(after[end], 0)
        end += 1
    return f"{before}((?i:{after[: end - 1]})){_own_groups(after[end:])}"


_MAKERS: Final[dict[str, Callable[[dict[str, Any], Any], Check]]] = {
    "double": _of_double, "int32": _of_integer, "int64": _of_integer, "uint32": _of_integer, "uint64": _of_integer,
    "enum": _of_enum, "string": _of_text,
}  # fmt: skip
