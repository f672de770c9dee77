"""A fact-checking application on LangGraph, with an offline model so that it runs anywhere."""
