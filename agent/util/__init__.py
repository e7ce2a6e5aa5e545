"""Errors, files, locks, texts, secrets, templates, the observer: what every room needs.

Imports nothing of ours and knows no word of research.
"""
