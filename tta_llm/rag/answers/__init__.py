"""An answer from what was found: quoted or written by a model, and checked."""
