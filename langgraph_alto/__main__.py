"""`python -m langgraph_alto` is the command `langgraph-alto`."""

from __future__ import annotations

import sys

from langgraph_alto.cli import main

if __name__ == "__main__":
    sys.exit(main())
