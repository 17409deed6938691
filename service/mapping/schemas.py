"""JSON Schema (2020-12) of the contract's messages: types from the descriptors, bounds from the rules in the .proto,
words from its comments. What a schema says of a request is what the strict reader and the rules take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from service.mapping.comments import comment_of
from service.mapping.json_names import Descriptor, is_map, oneof_of, short_names
from service.mapping.patterns import ecma_pattern
from service.mapping.validation import RULES

Schema = dict[str, Any]
COMPONENTS = "#/components/schemas/"
ONEOF_RULES = "buf.validate.oneof"
# Names of the scalar types' rules within buf.validate.FieldRules, and of their JSON types.
INTEGERS = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1), FieldDescriptor.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: ("int64", -(2**63), 2**63 - 1), FieldDescriptor.TYPE_UINT64: ("uint64", 0, 2**64 - 1),
}  # fmt: skip
QUOTED_IN_ANSWERS = frozenset({FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64})
BOUNDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Value": {"type": ["number", "string", "boolean", "array", "object", "null"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Any": {"type": "object"},
}


class Schemas:
    """Collects the components that the document needs. Requests and answers differ: an answer always has its plain
    fields and may say UNSPECIFIED, a request may leave out or null what has a default. All requests come first."""

    def __init__(self) -> None:
        self._made: dict[str, Schema] = {}
        self._of_requests: set[str] = set()

    @property
    def components(self) -> dict[str, Schema]:
        return {name: self._made[name] for name in sorted(self._made)}

    def request(self, descriptor: Descriptor, without: Iterable[str] = ()) -> Schema:
        """A reference to the schema of a request's message; fields that stand in the path are not in the body."""
        left_out = frozenset(without)
        name = f"{descriptor.name}Body" if left_out else str(descriptor.name)
        self._of_requests.add(name)
        return self._reference(name, lambda: self._request_message(descriptor, left_out))

    def answer(self, descriptor: Descriptor) -> Schema:
        """A reference to the schema of an answer's message."""
        return self._reference(self._name_in_answers(descriptor), lambda: self._answer_message(descriptor))

    def parameter(self, field: Any) -> Schema:
        """The schema of a path or query parameter, and whether it must be given."""
        return {**self._request_value(field), **string_bounds_of_text(field)}

    def _name_in_answers(self, kind: Any) -> str:
        return f"{kind.name}Answered" if kind.name in self._of_requests else str(kind.name)

    def _reference(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self._made:
            self._made[name] = {}
            self._made[name] = make()
        return {"$ref": COMPONENTS + name}

    def _request_message(self, descriptor: Descriptor, without: frozenset[str]) -> Schema:
        fields = [field for field in descriptor.fields if field.name not in without]
        found = described(descriptor.full_name, {"type": "object", "additionalProperties": False})
        found["properties"] = {field.name: self._request_field(field) for field in fields}
        required = [field.name for field in fields if is_required(field)]
        if required:
            found["required"] = required
        choices = [oneof for oneof in descriptor.oneofs if not oneof.name.startswith("_")]
        exactly = [exactly_one(oneof) for oneof in choices]
        if exactly:
            found["allOf"] = exactly
        return found

    def _request_field(self, field: Any) -> Schema:
        found = self._request_value(field)
        if is_required(field) or oneof_of(field):
            return described(field.full_name, found)
        return described(field.full_name, or_null(found))

    def _request_value(self, field: Any) -> Schema:
        rules = rules_of(field)
        if is_map(field):
            key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
            held = self._scalar(value, inner(rules, "map", "values"))
            found: Schema = {"type": "object", "additionalProperties": held}
            names = self._scalar(key, inner(rules, "map", "keys"))
            names.pop("type", None)
            bounds = {"minProperties": "min_pairs", "maxProperties": "max_pairs"}
            return found | counted(inner(rules, "map"), bounds) | ({"propertyNames": names} if names else {})
        if field.is_repeated:
            of_list = inner(rules, "repeated")
            found = {"type": "array", "items": self._scalar(field, inner(rules, "repeated", "items"))}
            unique = {"uniqueItems": True} if of_list is not None and of_list.unique else {}
            return found | counted(of_list, {"minItems": "min_items", "maxItems": "max_items"}) | unique
        return self._scalar(field, rules)

    def _scalar(self, field: Any, rules: Any) -> Schema:
        kind = field.message_type
        if kind is not None:
            return dict(WELL_KNOWN[kind.full_name]) if kind.full_name in WELL_KNOWN else self.request(kind)
        if field.enum_type is not None:
            allowed = tuple(getattr(rules.enum, "in")) if has(rules, "enum") else ()
            return self._enum_of(field.enum_type, allowed)
        return request_scalar(field, rules)

    def _enum_of(self, enum: Any, allowed: tuple[int, ...]) -> Schema:
        names = short_names(enum)
        if allowed:
            return {"type": "string", "enum": [names[number] for number in allowed]}
        self._of_requests.add(enum.name)
        return self._reference(enum.name, lambda: enum_schema(enum, [number for number in names if number]))

    def _answer_message(self, descriptor: Descriptor) -> Schema:
        found = described(descriptor.full_name, {"type": "object"})
        found["properties"] = {
            field.name: described(field.full_name, self._answer_value(field)) for field in descriptor.fields
        }
        required = [field.name for field in descriptor.fields if not field.has_presence]
        if required:
            found["required"] = required
        return found

    def _answer_value(self, field: Any) -> Schema:
        if is_map(field):
            held = self._answer_scalar(field.message_type.fields_by_name["value"])
            return {"type": "object", "additionalProperties": held}
        found = self._answer_scalar(field)
        return {"type": "array", "items": found} if field.is_repeated else found

    def _answer_scalar(self, field: Any) -> Schema:
        kind = field.message_type
        if kind is not None:
            return dict(WELL_KNOWN[kind.full_name]) if kind.full_name in WELL_KNOWN else self.answer(kind)
        if field.enum_type is not None:
            names = list(short_names(field.enum_type))
            name = self._name_in_answers(field.enum_type)
            return self._reference(name, lambda: enum_schema(field.enum_type, names))
        if field.type in QUOTED_IN_ANSWERS:
            return {"type": "string", "pattern": "^-?[0-9]+$"}
        return plain_scalar(field)


def enum_schema(enum: Any, numbers: Iterable[int]) -> Schema:
    names = short_names(enum)
    kept = list(numbers)
    said = [(names[n], comment_of(f"{enum.full_name}.{enum.values_by_number[n].name}")) for n in kept]
    lines = [f"- `{name}`: {text}" for name, text in said if text]
    words = "\n".join([comment_of(enum.full_name), *([""] if lines else []), *lines]).strip()
    return {"type": "string", "enum": [names[number] for number in kept], "description": words}


def request_scalar(field: Any, rules: Any) -> Schema:
    if field.type in INTEGERS:
        name, low, high = INTEGERS[field.type]
        found: Schema = {"type": "integer", "minimum": low, "maximum": high}
        bounds = numeric_bounds(getattr(rules, name)) if has(rules, name) else {}
        if "exclusiveMinimum" in bounds:
            del found["minimum"]
        if "exclusiveMaximum" in bounds:
            del found["maximum"]
        found |= bounds
        if field.type in QUOTED_IN_ANSWERS:
            found["type"] = ["integer", "string"]
            found["pattern"] = "^[0-9]{1,19}$" if low == 0 else "^-?[0-9]{1,18}$"
        return found
    found = plain_scalar(field)
    if found["type"] == "number" and has(rules, "double"):
        return found | numeric_bounds(rules.double)
    if field.type == FieldDescriptor.TYPE_STRING and has(rules, "string"):
        return found | string_bounds(rules.string, not is_ignored(rules))
    return found


def plain_scalar(field: Any) -> Schema:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type == FieldDescriptor.TYPE_STRING:
        return {"type": "string"}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return {"type": "integer"} if field.type in INTEGERS else {"type": "number"}


def numeric_bounds(rules: Any) -> Schema:
    return {BOUNDS[f.name]: whole(value) for f, value in rules.ListFields() if f.name in BOUNDS}


def string_bounds(rules: Any, empty_is_checked: bool) -> Schema:
    found: Schema = {}
    if rules.min_len:
        found["minLength"] = int(rules.min_len)
    if rules.max_len:
        found["maxLength"] = int(rules.max_len)
    if rules.pattern:
        found["pattern"] = ecma_pattern(rules.pattern)
    if rules.uuid:
        uuid = "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
        found["pattern"] = f"^{uuid}$" if empty_is_checked else f"^({uuid})?$"
    return found


def string_bounds_of_text(field: Any) -> Schema:
    """A parameter is never empty in a path, and never null."""
    return {"minLength": 1} if field.type == FieldDescriptor.TYPE_STRING and is_required(field) else {}


def counted(rules: Any, names: dict[str, str]) -> Schema:
    return {key: int(getattr(rules, name)) for key, name in names.items() if rules is not None and getattr(rules, name)}


def exactly_one(oneof: Any) -> Schema:
    """One of the choice's fields; none is allowed, too, where the choice need not be made."""
    options: list[Schema] = [{"required": [field.name]} for field in oneof.fields]
    rules = [value for option, value in oneof.GetOptions().ListFields() if option.full_name == ONEOF_RULES]
    if not any(rule.required for rule in rules):
        options.append({"not": {"anyOf": list(options)}})
    return {"oneOf": options}


def rules_of(field: Any) -> Any:
    """buf.validate.FieldRules of a field; None without any."""
    return next((value for option, value in field.GetOptions().ListFields() if option.full_name == RULES), None)


def has(rules: Any, name: str) -> bool:
    return rules is not None and bool(rules.HasField(name))


def inner(rules: Any, *names: str) -> Any:
    """Rules within rules: of a list's items, of a map's keys; None where there are none."""
    for name in names:
        if not has(rules, name):
            return None
        rules = getattr(rules, name)
    return rules


def is_ignored(rules: Any) -> bool:
    """Whether the rules look away from an empty value."""
    return rules is not None and bool(rules.ignore)


def is_required(field: Any) -> bool:
    """Whether a request without the field breaks its rules: it is marked so, or its default breaks one."""
    rules = rules_of(field)
    if rules is None or is_ignored(rules):
        return False
    if rules.required:
        return True
    if is_map(field) or field.is_repeated:
        of_list = inner(rules, "map") if is_map(field) else inner(rules, "repeated")
        return of_list is not None and bool(of_list.min_pairs if is_map(field) else of_list.min_items)
    if field.has_presence:
        return False
    if field.type == FieldDescriptor.TYPE_STRING and has(rules, "string"):
        return bool(rules.string.min_len or rules.string.uuid) or not matches_empty(rules.string.pattern)
    if field.enum_type is not None and has(rules, "enum"):
        wanted = tuple(getattr(rules.enum, "in"))
        return 0 in rules.enum.not_in or (bool(wanted) and 0 not in wanted)
    return any(excludes_zero(value) for kind, value in rules.ListFields() if kind.name in ("double", "int32", "uint32"))


def matches_empty(pattern: str) -> bool:
    return not pattern or re.search(ecma_pattern(pattern), "") is not None


def excludes_zero(rules: Any) -> bool:
    bounds = numeric_bounds(rules)
    low = bounds.get("exclusiveMinimum", -1) >= 0 or bounds.get("minimum", 0) > 0
    return bool(low or bounds.get("exclusiveMaximum", 1) <= 0 or bounds.get("maximum", 0) < 0)


def or_null(schema: Schema) -> Schema:
    """Null in a request is the same as nothing."""
    kind = schema.get("type")
    if kind is None:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "type": [kind, "null"], "enum": [*schema["enum"], None]}
    kinds = kind if isinstance(kind, list) else [kind]
    return {**schema, "type": kinds if "null" in kinds else [*kinds, "null"]}


def described(full_name: str, schema: Schema) -> Schema:
    text = comment_of(full_name)
    return {"description": text, **schema} if text else schema


def whole(value: float) -> float | int:
    """1e12 as 1000000000000: the same number, without a point that means nothing."""
    return int(value) if float(value).is_integer() else float(value)
