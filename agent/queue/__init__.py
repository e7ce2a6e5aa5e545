"""Many experiments of one command: their order, what they cost together, how far they are.

What one experiment does is not decided here.
"""
