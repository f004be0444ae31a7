"""Files and pages of the web become documents, or it is said why they do not."""
