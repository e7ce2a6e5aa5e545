"""A running queue, live: what is looked at, what is told of it, the time that is left."""
