"""The command line. `main.py` knows the commands by name only: each module is imported when its command is called."""
