"""Pure decisions: no event loop, clock, randomness, LangGraph or I/O; `now` is data.

`scheduler` decides what starts, is adopted or thrown away; `order` decides when a task's
output may be seen; `effects` judges which node may run early. Drivers in `runtime/` and
`_langgraph/` feed events in and carry commands out.
"""
