"""The code that runs in the experiments' interpreter, around and before the program.

It stands on the standard library alone and imports nothing of Assay.
"""
