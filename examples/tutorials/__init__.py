"""Patterns that LangGraph's documentation describes, written as its users write them.

Nothing in these files knows about langgraph_alto but the offline chat model, which stands where a
provider's would. Each says beforehand what swapping the executor should give.
"""
