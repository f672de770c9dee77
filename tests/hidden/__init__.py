"""Small graphs in which something other than the declared state passes between tasks.

Each row is a function that builds one graph. The modules are written with coroutines; the
harness derives the synchronous twin of each, so that every row runs both ways.
"""
