"""Reads recordings: OTLP JSON, as a collector's file exporter writes it.

A file holds one `ExportTraceServiceRequest`, a list of them, or one a line. Fields may be named as
in the OTLP specification (`resourceSpans`) or as in the protocol's own files (`resource_spans`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langgraph_alto.errors import RecordingError
from langgraph_alto.flow.reading import Event, Linked, Record

ERROR = (2, "STATUS_CODE_ERROR", "ERROR")


def read_file(path: str | Path) -> list[Record]:
    """The spans of a file.

    Raises:
        RecordingError: It can't be read, is no OTLP JSON, or has no spans.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise RecordingError(f"Can't read {str(path)!r}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise RecordingError(f"{str(path)!r} is no OTLP JSON: it is not UTF-8 text.") from None
    try:
        return read_text(text)
    except RecordingError as error:
        raise RecordingError(f"{str(path)!r} is no OTLP JSON: {error}") from None


def read_text(text: str) -> list[Record]:
    """The spans of a text.

    Raises:
        RecordingError: It is no OTLP JSON, or has no spans.
    """
    found = [record for request in _requests(text) for record in _records(request)]
    if not found:
        raise RecordingError("there are no spans in it.")
    return found


def _requests(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        yield from _lines(text, error)
        return
    except RecursionError:
        raise RecordingError("it is nested too deeply.") from None
    for request in value if isinstance(value, list) else [value]:
        yield _object(request, "a request")


def _lines(text: str, whole: json.JSONDecodeError) -> Iterator[Mapping[str, Any]]:
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise RecordingError(f"{whole}.") from None
    for number, line in lines:
        try:
            yield _object(json.loads(line), f"line {number}")
        except (json.JSONDecodeError, RecursionError):
            problem = f"{whole}" if number == lines[0][0] else f"line {number} is no JSON"
            raise RecordingError(f"{problem}.") from None


def _records(request: Mapping[str, Any]) -> Iterator[Record]:
    if "resourceSpans" not in request and "resource_spans" not in request:
        raise RecordingError("it has no 'resourceSpans'.")
    for group in _list(request, "resourceSpans"):
        resource = _object(_get(group, "resource") or {}, "a resource")
        about = _attributes(resource)
        # Some exporters still write the name that scopes had before 1.0.
        scopes = _list(group, "scopeSpans") or _list(group, "instrumentationLibrarySpans")
        for scope in scopes:
            for span in _list(scope, "spans"):
                yield _record(span, about)


def _record(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Record:
    span_id, trace_id = _get(span, "spanId"), _get(span, "traceId")
    if not isinstance(span_id, str) or not isinstance(trace_id, str) or not span_id:
        raise RecordingError("a span in it has no 'spanId' or 'traceId'.")
    status = _object(_get(span, "status") or {}, "a status")
    start = _time(span, "startTimeUnixNano")
    return Record(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=str(_get(span, "parentSpanId") or "") or None,
        name=str(_get(span, "name") or "span"),
        start=start,
        end=max(start, _time(span, "endTimeUnixNano", start)),
        attributes=_attributes(span),
        events=[
            Event(str(_get(e, "name")), _time(e, "timeUnixNano"), _attributes(e))
            for e in _list(span, "events")
        ],
        links=[
            Linked(str(_get(e, "traceId")), str(_get(e, "spanId")), _attributes(e))
            for e in _list(span, "links")
        ],
        failed=_get(status, "code") in ERROR,
        message=str(_get(status, "message") or ""),
        resource=resource,
    )


def _get(value: Mapping[str, Any], name: str) -> Any:
    """A field by its JSON name or its name in the protocol's files."""
    if name in value:
        return value[name]
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return value.get(snake)


def _list(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = _get(value, name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise RecordingError(f"{name!r} in it is no list.")
    return [_object(item, f"an entry of {name!r}") for item in found]


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RecordingError(f"{what} in it is no object.")
    return value


def _time(value: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """Nanoseconds, written as text as 64-bit numbers are in JSON, or as a number."""
    found = _get(value, name)
    if found is None and default is not None:
        return default
    try:
        return int(found)
    except (TypeError, ValueError, OverflowError):
        raise RecordingError(f"{name!r} in it is no time: {str(found)[:40]!r}.") from None


def _attributes(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(_get(pair, "key")): _value(_get(pair, "value")) for pair in _list(value, "attributes")
    }


def _value(value: Any, depth: int = 0) -> Any:
    """An `AnyValue`; None where it is empty, of an unknown kind, or nested beyond reason."""
    if not isinstance(value, dict) or depth > 8:
        return None
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if (found := _get(value, name)) is not None:
            return found
    if (found := _get(value, "intValue")) is not None:
        return int(found) if str(found).lstrip("-").isdecimal() else None
    return _nested(value, depth + 1)


def _nested(value: Mapping[str, Any], depth: int) -> Any:
    if isinstance(found := _get(value, "arrayValue"), dict):
        return [_value(item, depth) for item in _list(found, "values")]
    if isinstance(found := _get(value, "kvlistValue"), dict):
        pairs = _list(found, "values")
        return {str(_get(pair, "key")): _value(_get(pair, "value"), depth) for pair in pairs}
    return None
