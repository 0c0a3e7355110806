"""SIP B2BUA: conducts the call."""
