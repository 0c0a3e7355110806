"""RTP, G.711, telephone events and the bytes of stored audio, without any input or output."""
