"""This room shows a running queue, live: its steps, its numbers, the time that is left."""
