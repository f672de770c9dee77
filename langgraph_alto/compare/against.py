"""A report beside an older one: did the gain change?"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from langgraph_alto.compare import statistics as stats
from langgraph_alto.compare.report import VERSION, Against, Level, Report
from langgraph_alto.errors import InputsError


def load_report(path: str | Path) -> Report:
    """A report that `--json` wrote.

    Raises:
        InputsError: It can't be read, or is no such report.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputsError(f"can't read {str(path)!r}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InputsError(f"{path}: not UTF-8 text: {error.reason}.") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputsError(f"{path}: not valid JSON: {error}.") from None
    found = value.get("schema_version") if isinstance(value, dict) else None
    if found != VERSION:
        raise InputsError(
            f"{path} is no report of `langgraph-alto compare --json` that this version reads "
            f"(schema_version {found!r}, not {VERSION})."
        )
    try:
        return Report.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputsError(f"{path} is no report: {where}: {first['msg']}.") from None


def against(old: Report, new: Report, file: str) -> Against:
    """What changed since an older report: the ratio now divided by the ratio then.

    "better" and "worse" are only said where the interval of the change leaves 1.00 out, the
    change is more than both reports' margins, and graph and inputs are the same.
    """
    differs = _differs(old, new)
    change = None
    if new.ratio is not None and old.ratio is not None:
        change = stats.change_of(_pairs(old.runs[0]), _pairs(new.runs[0]))
    margin = max(old.verdict.margin, new.verdict.margin)
    code, sentence = "no_difference", "No difference shown to the older report."
    if old.reproduce.inputs_sha256 != new.reproduce.inputs_sha256 or change is None:
        code = "not_comparable"
        sentence = "The older report is not comparable: "
        sentence += "one has no ratio." if change is None else "its inputs were others."
    elif not change.low <= 1.0 <= change.high and abs(change.value - 1.0) > margin:
        code = "better" if change.value < 1.0 else "worse"
        sentence = f"The ratio is {code} than in the older report: {new.ratio:.2f} after "
        sentence += f"{old.ratio:.2f}, {change.value:.2f} times ({change.low:.2f} to "
        sentence += f"{change.high:.2f})."
    return Against(
        file=file,
        created=old.created,
        version=old.version,
        ratio_then=old.ratio,
        ratio_now=new.ratio,
        change=change,
        bound_then=old.bound,
        code=code,  # type: ignore[arg-type]  # one of them
        sentence=sentence,
        differs=differs,
    )


def _pairs(level: Level) -> list[list[tuple[float, float]]]:
    by_line: dict[int, list[tuple[float, float]]] = {}
    for pair in level.pairs:
        if pair.langgraph is not None and pair.alto is not None:
            by_line.setdefault(pair.line, []).append((pair.langgraph, pair.alto))
    return list(by_line.values())


def _differs(old: Report, new: Report) -> list[str]:
    """What else is not the same."""
    found = []
    if old.target != new.target:
        found.append(f"target: {old.target} then, {new.target} now")
    for name in ("mode", "options", "models", "stream_modes", "concurrency"):
        then, now = getattr(old.settings, name), getattr(new.settings, name)
        if then != now:
            found.append(f"{name}: {then} then, {now} now")
    for name in ("python", "platform", "processors"):
        then, now = getattr(old.environment, name), getattr(new.environment, name)
        if then != now:
            found.append(f"{name}: {then} then, {now} now")
    packages = {**old.environment.packages, **new.environment.packages}
    for name in packages:
        then = old.environment.packages.get(name)
        now = new.environment.packages.get(name)
        if then != now:
            found.append(f"{name}: {then} then, {now} now")
    return found
