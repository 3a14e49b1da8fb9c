"""How a database gets to the schema of `tables.py`: Alembic revisions, numbered, one a table or change.

MySQL's DDL is not transactional, so a revision may be cut off in its middle and run again: each step looks first
whether it is already done. Expand and contract: a revision never takes away what the previous release still uses.
"""
