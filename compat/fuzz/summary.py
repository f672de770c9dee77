"""Sums verdicts up, and says whether the gate holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from compat.fuzz.case import Verdict

LEAST_ADOPTING = 0.30
"""Share of the graphs that must adopt something, or the gate proves too little."""

OTHER_DELAYS = "other delays"
"""What explains a difference least: such cases are listed in the JSON, to be looked at."""

SHARE_NEEDS = 50
"""A share of fewer graphs than this says nothing."""


@dataclass
class Summary:
    """Counts over all verdicts, and the failures in full."""

    executor: str
    seconds: float = 0.0
    graphs: int = 0
    adopting: int = 0
    explained: int = 0
    baseline: int = 0
    langgraph_trouble: list[int] = field(default_factory=list)
    failures: list[Verdict] = field(default_factory=list)
    explained_aspects: Counter[str] = field(default_factory=Counter)
    explained_by: Counter[str] = field(default_factory=Counter)
    weakly: list[str] = field(default_factory=list)
    baseline_aspects: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    virtual: list[float] = field(default_factory=lambda: [0.0, 0.0])
    bodies: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, verdict: Verdict) -> None:
        """Count one more case."""
        if verdict.trouble is not None and verdict.trouble.startswith("langgraph"):
            # LangGraph itself hangs or can't build it: nothing to compare with.
            self.langgraph_trouble.append(verdict.seed)
            return
        self.graphs += 1
        if verdict.unexplained or verdict.trouble:
            self.failures.append(verdict)
        elif verdict.explained:
            self.explained += 1
        self.explained_aspects.update({text.split(" at ")[0] for text in verdict.explained})
        self.explained_by.update(map(_evidence, verdict.explained))
        self.weakly += [
            f"seed {verdict.seed} {text}"
            for text in verdict.explained
            if _evidence(text) == OTHER_DELAYS
        ]
        self.baseline += bool(verdict.baseline)
        self.baseline_aspects.update(set(verdict.baseline))
        self.features.update(verdict.features)
        self.counters.update(verdict.counters)
        self.held.update(verdict.held)
        self.fallbacks.update(verdict.fallbacks)
        self.adopting += verdict.counters.get("adopted", 0) > 0
        for index in (0, 1):
            self.virtual[index] += verdict.virtual[index]
            self.bodies[index] += verdict.bodies[index]

    def problems(self) -> list[str]:
        """Why the gate does not hold; nothing if it does."""
        found = [f"seed {failure.seed} {_first_line(failure)}" for failure in self.failures]
        share = self.adopting / self.graphs if self.graphs else 0.0
        if self.executor == "alto" and self.graphs >= SHARE_NEEDS and share < LEAST_ADOPTING:
            found.append(f"only {share:.0%} of the graphs adopt something")
        if not self.graphs:
            found.append("no graph was compared")
        return found

    def as_json(self) -> dict[str, Any]:
        """The summary for programs."""
        return {
            "executor": self.executor,
            "graphs": self.graphs,
            "seconds": round(self.seconds, 1),
            "unexplained": len(self.failures),
            "explained": self.explained,
            "explained_aspects": dict(self.explained_aspects),
            "explained_by": dict(self.explained_by),
            "explained_by_other_delays": self.weakly,
            "baseline": self.baseline,
            "baseline_aspects": dict(self.baseline_aspects),
            "langgraph_trouble": self.langgraph_trouble,
            "adopting": self.adopting,
            "adopting_share": round(self.adopting / self.graphs, 3) if self.graphs else 0.0,
            **self.counters,
            "held": dict(self.held),
            "fallbacks": dict(self.fallbacks),
            "virtual_seconds": {"langgraph": self.virtual[0], "other": self.virtual[1]},
            "bodies": {"langgraph": self.bodies[0], "other": self.bodies[1]},
            "features": dict(sorted(self.features.items())),
            "failures": [
                {
                    "seed": failure.seed,
                    "unexplained": failure.unexplained,
                    "trouble": failure.trouble,
                    "plan": failure.shrunk or failure.plan,
                }
                for failure in self.failures
            ],
            "problems": self.problems(),
        }

    def show(self, console: Console) -> None:
        """The summary for people."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        share = self.adopting / self.graphs if self.graphs else 0.0
        seconds = max(self.seconds, 0.001)
        table.add_row("graphs", f"{self.graphs} in {seconds:.0f} s ({self.graphs / seconds:.1f}/s)")
        table.add_row("unexplained differences", str(len(self.failures)))
        table.add_row(
            "explained differences", f"{self.explained} {_counts(self.explained_aspects)}"
        )
        table.add_row("explained by LangGraph with", _counts(self.explained_by))
        table.add_row(
            "LangGraph against itself", f"{self.baseline} {_counts(self.baseline_aspects)}"
        )
        if self.langgraph_trouble:
            table.add_row("LangGraph hangs or fails", f"seeds {self.langgraph_trouble}")
        table.add_row("graphs that adopt", f"{self.adopting} ({share:.0%})")
        table.add_row("tasks", ", ".join(f"{k} {v}" for k, v in self.counters.items()))
        for reason, count in self.held.most_common(20):
            table.add_row("held", f"{count} {reason}")
        for reason, count in self.fallbacks.most_common(10):
            table.add_row("fallback", f"{count} {reason}")
        table.add_row("bodies run", f"LangGraph {self.bodies[0]}, other {self.bodies[1]}")
        if self.virtual[0]:
            ratio = self.virtual[1] / self.virtual[0]
            table.add_row("virtual time", f"{ratio:.3f} of LangGraph's")
        console.print(table)
        console.print("[bold]coverage[/bold]", _counts(self.features), soft_wrap=True)
        for failure in self.failures[:20]:
            console.print(f"[red]seed {failure.seed}[/red]", markup=True)
            # The stacks of a hang are in the JSON.
            for line in (failure.unexplained or (failure.trouble or "").splitlines())[:8]:
                console.print("  " + line, markup=False, soft_wrap=True)
        for problem in self.problems()[-1:]:
            console.print(f"[red]FAILED[/red] {len(self.problems())} problem(s), e.g.", end=" ")
            console.print(problem, markup=False, soft_wrap=True)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def _evidence(explained: str) -> str:
    delays = explained.rpartition("(delays ")[2].rstrip(")")
    known = {"0": "the same delays", "+": "ties broken", "q": "a quick saver"}
    return known.get(delays[:1], OTHER_DELAYS)


def _first_line(failure: Verdict) -> str:
    lines = failure.unexplained or (failure.trouble or "").splitlines()
    return lines[0] if lines else ""
