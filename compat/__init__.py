"""Conformance: LangGraph's own test suite, run with ALTO as the executor.

`python -m compat suite` is the way in; `README.md` beside this file says what is run, why,
and how to read the outcome. The parts, in the order in which a run uses them:

- `expectation`  what should come out (`expected.toml`), and the comparison with what did
- `environment`  a virtual environment with the suite's pinned dependencies
- `source`       LangGraph's sdist: fetched, verified, unpacked
- `suite`        one run of the suite in a process of its own
- `plugin`       what pytest loads inside that process: swaps the executor, writes `log` lines
- `log`          those lines, read back and summed
- `show`         the summary for people and for programs
"""
