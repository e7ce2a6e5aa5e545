"""From evidence in the archive to a class with an interval and a price.

It starts no program and reads nothing but archives.
"""
