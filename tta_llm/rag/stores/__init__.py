"""Where vectors are kept, and the filters that every store understands."""
