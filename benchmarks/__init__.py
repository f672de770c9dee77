"""Ratios of ALTO to LangGraph, and of both to the critical path. `python -m benchmarks`.

Both executors run in one process, interleaved in shuffled order, so that the machine's moods
meet both alike; what is told are ratios of medians with bootstrap intervals, never seconds.
"""
