"""`scripts/demo`: every role in one process, a few jobs of each kind, shown live until all are final."""
