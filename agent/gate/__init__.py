"""The checks before a run is spent, and the judge.

Each costs seconds; what it finds goes back to the coder. It decides nothing about the effect of
an idea.
"""
