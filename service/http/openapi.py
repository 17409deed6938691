"""The OpenAPI 3.1 document of the annotated calls. Nothing of it is written by hand but what HTTP itself adds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from engine.decision import Fault
from service.http import problems
from service.http.headers import MOST_TIMEOUT_MS
from service.http.problems import MEDIA_TYPE, STATUSES, TYPE_PREFIX
from service.mapping.comments import comment_of
from service.mapping.http_calls import HttpCall
from service.mapping.schemas import Schemas, is_required
from service.version import VERSION

Json = dict[str, Any]
TAG: Final = "execution strategy"
# What every call may end with, and what calls with a body, with an order in the path, or with an effect add.
ANY_CALL: Final = (400, 429, 431, 500, 501, 503, 504)
WITH_BODY: Final = (409, 413, 415, 422)
WITH_PATH_FIELD: Final = (404,)
WORDS: Final = {
    400: "Something in the request breaks a rule; `violations` names every one with its field.",
    404: "No decision is known for this order or selection.",
    409: "The order was decided before for another request.",
    413: "The body is too large.",
    415: "The body is no uncompressed JSON in UTF-8.",
    422: "No strategy can meet this: constraints clash, or a figure is missing. `violations` names which.",
    429: "Too many requests are under way; `Retry-After` says when to come again.",
    431: "A header is too long to be passed on.",
    500: "A bug of the service; its log says more.",
    501: "The call is of the contract, and this server does not offer it.",
    503: "Not now: a retry is safe, and `Retry-After` says when.",
    504: "No answer within the deadline. The same request may be sent again.",
}
# Of the codes that share a status, the one that a client meets.
EXAMPLE_CODES: Final = (
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "INTERNAL",
    "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED",
)  # fmt: skip
EXAMPLE_PATH: Final = "/api/v1/execution-strategy/recommend"
EXAMPLE_REQUEST_ID: Final = "9d4a1d7e5f6e4c0f8a0e2b0a5b2f7c11"
INTRODUCTION: Final = (
    "Which execution algorithm to run for a parent order, at what expected cost, how sure, and why. "
    "The same calls are served over gRPC; this document is made from that contract.\n\n"
    "Names of fields are those of the contract. Enum values are written short (`BUY`) and read short or long, in any "
    "case. What a request leaves out, or says null for, has the default that its description names. Times are RFC 3339 "
    "in UTC. 64-bit integers are strings in answers. Unknown fields are refused.\n\n"
    "Every answer has `X-Request-Id`: the caller's own (1 to 128 printable characters) or a new one. A W3C "
    "`traceparent`, `tracestate` and `Authorization` are passed on to the service. Refusals are "
    "`application/problem+json` (RFC 9457) with `code`, the gRPC status, and `violations`, every one with its field. "
    "An order's id in a path is percent-encoded."
)


def openapi_document(calls: Sequence[HttpCall], timeout_s: float) -> Json:
    """The document, for these calls; `timeout_s` is the deadline where the request names none."""
    schemas = Schemas()
    examples = example_requests()
    # Requests first: only then is it known which names answers have to share.
    operations = [(call, operation(call, schemas, examples.get(call.name, {}))) for call in calls]
    paths: dict[str, Json] = {}
    for call, made in operations:
        responses = {"200": success(call, schemas), **problem_references(call)}
        paths.setdefault(call.template, {})[call.verb.lower()] = {**made, "responses": responses}
    statuses = sorted({status for call in calls for status in refusals_of(call)})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Execution strategy service", "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": TAG, "description": comment_of(service_of(calls))}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.components, "Problem": problem_schema()},
            "parameters": {"RequestTimeout": timeout_parameter(timeout_s)},
            "headers": HEADERS,
            "responses": {name_of(status): problem_response(status) for status in statuses},
        },
    }


def example_requests() -> dict[str, Json]:
    """A request by the name of its call; a test holds them against the rules and the shipped instruments."""
    found: dict[str, Json] = json.loads((files("service.http") / "examples.json").read_text("utf-8"))
    return found


def service_of(calls: Sequence[HttpCall]) -> str:
    return calls[0].full_name.rpartition(".")[0] if calls else ""


def operation(call: HttpCall, schemas: Schemas, example: Json) -> Json:
    words = comment_of(call.full_name)
    found: Json = {
        "operationId": call.name[:1].lower() + call.name[1:], "tags": [TAG], "summary": words.rstrip("."),
        "description": f"gRPC: `{call.grpc_path}`.",
        "parameters": [*parameters(call, schemas, example), {"$ref": "#/components/parameters/RequestTimeout"}],
    }  # fmt: skip
    if call.body:
        reference = schemas.request(call.request.DESCRIPTOR, without=call.path_fields)
        body = {name: value for name, value in example.items() if name not in call.path_fields}
        content = {"schema": reference, **({"example": body} if body else {})}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def parameters(call: HttpCall, schemas: Schemas, example: Json) -> list[Json]:
    in_path = [call.request.DESCRIPTOR.fields_by_name[name] for name in call.path_fields]
    found = [parameter("path", field, schemas, example) for field in in_path]
    return found + [parameter("query", field, schemas, example) for field in call.query_fields]


def parameter(place: str, field: Any, schemas: Schemas, example: Json) -> Json:
    found: Json = {
        "name": field.name, "in": place, "required": place == "path" or is_required(field),
        "description": comment_of(field.full_name), "schema": schemas.parameter(field),
    }  # fmt: skip
    return {**found, "example": example[field.name]} if field.name in example else found


def timeout_parameter(timeout_s: float) -> Json:
    return {
        "name": "X-Request-Timeout-Ms", "in": "header", "required": False,
        "description": f"How long the answer is waited for, milliseconds. Default: {round(timeout_s * 1_000)}.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_TIMEOUT_MS}, "example": 2_000,
    }  # fmt: skip


def success(call: HttpCall, schemas: Schemas) -> Json:
    reference = schemas.answer(call.response.DESCRIPTOR)
    return {
        "description": comment_of(call.response.DESCRIPTOR.full_name) or "The answer.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {"application/json": {"schema": reference}},
    }


def problem_references(call: HttpCall) -> Json:
    return {str(status): {"$ref": f"#/components/responses/{name_of(status)}"} for status in refusals_of(call)}


def refusals_of(call: HttpCall) -> list[int]:
    found = {*ANY_CALL, *(WITH_BODY if call.body else ()), *(WITH_PATH_FIELD if call.path_fields else ())}
    return sorted(found)


def name_of(status: int) -> str:
    return f"Problem{status}"


def problem_response(status: int) -> Json:
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem_example(status)}
    return {"description": WORDS[status], "headers": headers, "content": {MEDIA_TYPE: content}}


def problem_example(status: int) -> Json:
    code = next((code for code in EXAMPLE_CODES if STATUSES[code] == status), "")
    problem = problems.of_code(code, WORDS[status]) if code else problems.of_status(status, WORDS[status])
    if status == 400:
        problem = problems.of_faults([Fault("quantity", "must be greater than 0")])
    return dict(json.loads(problem.body(EXAMPLE_PATH, EXAMPLE_REQUEST_ID)))


def problem_schema() -> Json:
    text = {"type": "string"}
    violation = {
        "type": "object", "required": ["field", "description"],
        "properties": {
            "field": {**text, "description": "Path of the field; empty where it is the whole request."},
            "description": {**text, "description": "What is wrong with it."},
        },
    }  # fmt: skip
    return {
        "type": "object",
        "description": "A refusal (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
        "properties": {
            "type": {**text, "description": f"{TYPE_PREFIX}... : one for each kind of refusal, for programs."},
            "title": {**text, "description": "The kind of refusal, for people."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {**text, "description": "What is wrong with this request."},
            "instance": {**text, "description": "The path that was asked for."},
            "code": {**text, "enum": list(STATUSES), "description": "The gRPC status."},
            "request_id": {**text, "description": "As in X-Request-Id."},
            "violations": {"type": "array", "items": violation, "description": "Every one; at most 50 are listed."},
            "retry_after_ms": {"type": "integer", "description": "When to come again, milliseconds."},
        },
    }


HEADERS: Final[Json] = {
    "RequestId": {"description": "The caller's own id of the request, or a new one.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
}
