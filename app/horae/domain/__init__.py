"""Nouns and rules: no I/O, no clock, no await. Everything here can be tested by a table."""
