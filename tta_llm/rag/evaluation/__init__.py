"""How good a pipeline is on questions whose sources and answers are known."""
