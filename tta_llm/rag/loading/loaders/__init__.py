"""The readers of each kind of file: from its bytes to a document."""
