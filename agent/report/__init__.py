"""Everything that people see, made from archives only: tables, pages, texts, curves, exports.

Nothing here changes an experiment.
"""
