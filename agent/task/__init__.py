"""This room says what is measured: data, splits, hidden labels, scoring, scaffold and contract.

It describes; programs are started elsewhere.
"""
