"""What people see: progress, tables, diffs. Reads archives, never writes them."""
