"""The call as a pure state machine: inputs in, effects out; no sockets, clocks or drivers."""
