"""The only place that touches LangGraph's internals.

`names` lists every private name once; `seam` builds the class of an accelerated graph; `loop`
holds the thin subclasses of LangGraph's loops; `run` carries out what the core decides.
"""
