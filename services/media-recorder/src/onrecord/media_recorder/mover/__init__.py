"""The sockets mover: a process of its own that forwards RTP, plays prompts and fills the ring."""
