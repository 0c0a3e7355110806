"""SIPREC recording server core, sans-IO: RFC 7866 (protocol) and RFC 7865 (metadata).

`offer` reads an INVITE, re-INVITE or UPDATE of a recording session, `description` answers its
media lines, `metadata` reads the XML, `state` merges snapshots and says who speaks in which stream,
`request` asks for a full snapshot. Nothing here decides whether something may be recorded.
"""
