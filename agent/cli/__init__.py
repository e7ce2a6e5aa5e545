"""The command line: the options, one module for each command, and the observer that prints.

Nothing imports it but launch.py.
"""
