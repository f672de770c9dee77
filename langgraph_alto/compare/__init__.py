"""Compares LangGraph's executor with ALTO on any graph.

    from langgraph_alto.compare import compare

    report = compare(graph, [{"question": "..."}], runs=20)
    print(report.verdict.sentence)

Needs the extra `langgraph-alto[compare]`.
"""

from langgraph_alto.compare.comparison import compare
from langgraph_alto.compare.report import Report

__all__ = ["Report", "compare"]
