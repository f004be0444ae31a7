"""What can be searched: the catalog of texts, their words, and their vectors."""
