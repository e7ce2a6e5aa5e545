"""Assay's own code, in rooms: imports point down, from `cli` on top to `util` at the bottom."""
