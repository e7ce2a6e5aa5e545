"""The interpreter of the experiments: built from a requirements file, with what a coder adds to it
beside it.
"""
