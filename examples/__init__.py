"""Real LangGraph applications. Each is run by a test."""
