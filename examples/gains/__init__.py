"""Small graphs, one for each kind of gain and of no gain."""
