"""This room holds what every room needs: errors, files, locks, texts, secrets, templates.

It imports nothing of ours and knows no word of research.
"""
