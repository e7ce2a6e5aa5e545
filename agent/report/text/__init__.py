"""Markdown for people: the diary and the write-up of one experiment."""
