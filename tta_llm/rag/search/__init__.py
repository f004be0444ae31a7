"""A question finds chunks, by meaning and by words, in one order with its reasons."""
