"""The REST api: reads requests with care, asks the store, answers what it said. It decides nothing about jobs.

One file a resource, each with a table of its routes; the router and the OpenAPI document are made of the same tables.
A request passes `middleware.py` (its id, its log line, errors to problems), `routing.py` (query and body to models) and
then its resource. Errors rise as exceptions of `domain/errors.py`; `problems.py` alone turns them into answers.
"""
