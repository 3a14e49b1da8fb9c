"""The broker delivers: references of claimed jobs go to a queue's workers, at once or after a delay.

It makes things fast and never decides anything: a message may be lost, doubled or late, and the database's tokens and
deadlines make that harmless. Deliveries are acked as soon as their starts have committed.
"""
