"""This room prints: the console, tables, diffs and the verdict's block."""
