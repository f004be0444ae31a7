"""Documents are cut into chunks along their own structure."""
