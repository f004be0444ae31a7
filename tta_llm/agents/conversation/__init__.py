"""Conversations: what was said, kept by session, and as much of it as fits a model's window."""
