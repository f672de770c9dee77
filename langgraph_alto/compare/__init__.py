"""Compares LangGraph's executor with ALTO on any graph."""
