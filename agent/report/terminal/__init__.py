"""What is printed: the console, tables, diffs and the verdict's block."""
