"""The handlers that every installation has: `noop`, `sleep`, `echo`, `fail` and `http`.

An HTTP job is a request that a user chooses and our machines send, so everything about it is hostile: where it goes is
decided by `addresses` (pure) and held by `network` at the moment of connecting; what is sent by `request` (pure); what
comes back is bounded by `answer`.
"""
