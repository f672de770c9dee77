"""What the page says of the verdict and of the results, in words."""

from __future__ import annotations

import difflib
import re
from datetime import datetime

from langgraph_alto.compare.flows import NAMES
from langgraph_alto.compare.report import Difference, Executor, InputRow, Report
from langgraph_alto.compare.wording import seconds

TIMES = "\N{MULTIPLICATION SIGN}"

SIDES: tuple[Executor, Executor] = ("langgraph", "alto")


def headline(report: Report) -> str:
    """The verdict in a few words."""
    code, found = report.verdict.code, report.ratio
    if code == "faster" and found:
        return f"{1 / found:.2f}{TIMES} faster"
    if code == "slower" and found:
        return f"{found:.2f}{TIMES} slower"
    return {
        "no_difference": "No difference shown",
        "results_differ": "The results differ",
        "no_data": "Nothing to compare",
    }.get(code, code)


def sentence(report: Report) -> str:
    """The verdict's sentence without what the headline has said already."""
    said = report.verdict.sentence
    before, after, found = report.latency.langgraph, report.latency.alto, report.ratio_interval
    if report.verdict.code in {"faster", "slower"} and before and after and found:
        low, high = found.low, found.high
        if report.verdict.code == "faster":
            low, high = 1 / high, 1 / low
        rest = said.partition(". ")[2]
        said = (
            f"Median {seconds(after.p50)} instead of {seconds(before.p50)}; "
            f"{low:.2f} to {high:.2f} times {report.verdict.code}. {rest}"
        )
    elif report.verdict.code == "results_differ" and report.first_difference:
        said = _where(report.first_difference)
    else:
        said = re.sub(rf"^{headline(report)}[:.]\s*", "", said)
    # No line ends inside an interval, or before a unit.
    said = re.sub(r"(\d) to (\d)", "\\1\xa0to\xa0\\2", said)
    said = re.sub(r"(\d) (ms|s|µs|times)\b", "\\1\xa0\\2", said)
    return said[:1].upper() + said[1:]


KINDS = {
    "value": "The two values are not the same.",
    "order": "Both hold the same elements, in another order.",
    "missing": "The result on ALTO lacks it.",
    "extra": "The result on LangGraph lacks it.",
    "type": "The two values are of different kinds.",
    "outcome": "One run finished and the other did not.",
    "error": "The runs failed with different errors.",
    "expected": "Both lack what the inputs file expects.",
}
"""What kind of difference it is, in words."""


def _where(found: Difference) -> str:
    place = f"in “{found.key}”, " if found.key else ""
    return f"First {place}on line {found.line} of the inputs. {KINDS[found.kind]}"


def created(text: str) -> str:
    """When a report was made, for people."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".strip()


def results(report: Report) -> str:
    """How the results compare, in sentences."""
    found = report.results
    if not found.compared:
        return "No results could be compared."
    if found.equal == found.compared:
        said = f"The results are equal in all {found.compared:,} pairs of runs."
        if found.compared == 1:
            said = "The results of the one pair of runs are equal."
    else:
        said = f"Of {found.compared:,} pairs of results {found.equal:,} are equal"
        said += f", {found.order_only:,} differ only in order" if found.order_only else ""
        said += f", {found.different:,} differ" if found.different else ""
        said += "."
    if found.langgraph_differs and found.equal < found.compared:
        said += (
            f" Two runs on LangGraph itself differed {found.langgraph_differs:,} times, too: "
            "the graph does not give the same result twice."
        )
    if found.ignored:
        said += f" Not compared, as asked: {', '.join(found.ignored)}."
    for side in SIDES:
        failed, late = found.failed.get(side, 0), found.timeouts.get(side, 0)
        if failed:
            said += f" {NAMES[side]}: {failed:,} failed run{plural(failed)}"
            said += f", {late:,} of them at the time limit." if late else "."
    if found.unexpected:
        said += f" {found.unexpected:,} lack what the inputs file expects."
    return said


def differing_parts(found: Difference | None) -> dict[str, list[tuple[str, bool]]] | None:
    """Both values in pieces, each with whether it differs from the other side."""
    if found is None:
        return None
    before, after = (re.findall(r"\w+|\s+|.", text) for text in (found.langgraph, found.alto))
    sides: dict[str, list[tuple[str, bool]]] = {"langgraph": [], "alto": []}
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < 0.3:  # nothing in common: marks on every other word say nothing
        return {"langgraph": [(found.langgraph, True)], "alto": [(found.alto, True)]}
    for kind, i, j, k, m in matcher.get_opcodes():
        for side, piece in (("langgraph", before[i:j]), ("alto", after[k:m])):
            if piece:
                sides[side].append(("".join(piece), kind != "equal"))
    return sides


def outcome(row: InputRow) -> str:
    """What became of an input's runs, in a word or two."""
    ends = {row.outcome.get(side, "finished") for side in SIDES}
    if row.equal is False:
        return "differ"
    if ends - {"finished"}:
        return ", ".join(sorted(ends - {"finished"})) + (", equal" if row.equal else "")
    return "equal" if row.equal else "—"


def plural(count: int) -> str:
    """The letter that a word for more than one ends with."""
    return "" if count == 1 else "s"
