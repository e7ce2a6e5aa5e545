"""What is measured: data, splits, hidden labels, scoring, the scaffold and the contract with its
program.

It describes; programs are started elsewhere.
"""
