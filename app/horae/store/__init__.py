"""The database decides: every move of a job is one guarded statement here.

`base.py` holds what the roles may ask for, in the words of the domain; the files beside it answer in SQL, one aggregate
each, for MySQL, MariaDB and SQLite. All that differs between them is in `dialect.py`. Moves take their WHERE and SET
from the table in `domain/transitions.py` (rule R1: 0 rows changed means that somebody else owns the job now).
"""
