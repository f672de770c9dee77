"""Reads what functions do from their source, as far as it can be known without running them.

A small abstract interpreter: it follows values (the node's input, objects that others can
reach, things made on the spot) through the app's own functions and notes what happens to them.
It imports no LangGraph; LangGraph's and LangChain's objects are known by their class names.

Two readers live here. What a node does, and to what: begin with `scan` (a node) and `interpret`
(one function in it), with `values` for what they know of a value. What a node may write and where
it may lead: begin with `writes`, then `follow` (one function) and `shapes`. Both stand on
`locate` (from objects to syntax) and `objects` (looking into objects).
"""
