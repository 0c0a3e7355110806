"""SIP core, sans-IO: bytes and `now` in, datagrams and events out (RFC 3261, 6026, 3581, 4566).

Start at `onrecord.sip.endpoint.Endpoint`. Nothing in this package imports a socket, a clock or a
source of randomness: they come in as arguments.
"""
