"""An index is brought up to date with its documents."""
