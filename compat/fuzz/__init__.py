"""Random graphs on LangGraph and on ALTO, compared in everything that a user can see.

    python -m compat.fuzz --graphs 300           the gate; a difference is shrunk and kept
    python -m compat.fuzz --executor langgraph   LangGraph against itself: must find nothing
    python -m compat.fuzz --show 17              seed 17 (or a kept plan) as a script
    python -m compat.fuzz --replay FILE          judge one plan again

The rooms, in the order in which a case goes through them:

- `plan`       a graph and its run as plain data
- `generate`   seed -> plan
- `source`     plan -> Python module, which is also the printed script
- `prelude`    the head of that module, and how long its bodies wait
- `build`      module -> graph with checkpointer, store and cache
- `clock`      the event loop on virtual time: exact orders, no waiting
- `run`        runs a plan on one executor and notes what happened
- `canonical`  values of a run as plain data, ids renamed or masked
- `compare`    two outcomes, aspect by aspect
- `case`       both executors, and LangGraph against itself to explain differences
- `shrink`     the smallest plan that still differs
- `pool`       worker processes under a watchdog
- `summary`    figures, coverage, and whether the gate holds
- `regressions/`  plans that once differed; `tests/test_fuzz.py` runs each of them

Async graphs run on virtual time, so equal delays give equal orders and everything is compared
exactly. Sync graphs (and bodies in threads) take real time: within a step their order does
not count. LangGraph differs from itself when delays change, because the errors, interrupts
and chunks of siblings race. A difference is *explained* if LangGraph shows one in the same
aspect, and it fails the gate if not. The report counts by what LangGraph differs from itself,
from strong evidence to weak: the very same delays once more; delays that are the same to a
millisecond, so that what would end in the same instant does not (*ties broken*); a saver that
takes no time, for what was saved (*a quick saver*); other delays.
The cases that only other delays explain are listed in the JSON: they are worth a look.
"""
