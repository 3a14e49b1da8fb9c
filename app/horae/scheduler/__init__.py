"""The scheduler role: duties that keep the window full, rescue what dead holders left, and prune.

Any number of schedulers run side by side; none is special. Each duty is a file and has a `run_once`.
"""
