"""What several test modules share: graphs, canonical forms, leak checks."""
