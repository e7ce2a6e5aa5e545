"""Assay: takes a research idea written in Markdown and returns results a sceptical researcher can check."""
