"""Reads what functions do from their source, as far as it can be known without running them.

A small abstract interpreter: it follows values (the node's input, objects that others can
reach, things made on the spot) through the app's own functions and notes what happens to them.
It imports no LangGraph; LangGraph's and LangChain's objects are known by their class names.
"""
