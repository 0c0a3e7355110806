"""How signalling reaches the world: the SIP socket and the doors of other services."""
