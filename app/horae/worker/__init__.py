"""The worker role: takes deliveries, starts their jobs, runs the handlers, and writes down how they ended.

`service.py` takes deliveries for free slots; `table.py` is what the worker knows of its runs; `executor.py` runs one
attempt as a pipeline of named steps; `judge.py` says what becomes of it (pure); `recorder.py` writes starts and ends in
batches; `lease.py` keeps the worker's row alive and fences the worker when it can't.
"""
