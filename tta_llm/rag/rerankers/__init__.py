"""Rerankers: steps from a search's result to one in a better order, each in a file of its own."""
