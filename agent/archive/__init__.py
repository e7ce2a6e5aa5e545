"""What is kept of an experiment: one module for each file on disk, every path, every record.

Nothing here runs, asks or decides anything.
"""
