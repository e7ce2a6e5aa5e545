"""This room keeps an experiment: every path, every record, one module for each file on disk.

Nothing here runs, asks or decides anything.
"""
