"""The coder edits the workspace and answers questions: the protocol, its scripted twin, and Aider
behind a process boundary.

It neither judges nor runs the code.
"""
