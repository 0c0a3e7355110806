"""RFC 3261 §17 transactions, corrected by RFC 6026: four machines, one file each.

A machine writes messages into the outbox that it was made with and names its next deadline in
`next_timer`. It never looks at a clock; `now` is in seconds on any clock that only goes forward.
"""
