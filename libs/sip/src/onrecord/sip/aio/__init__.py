"""The sockets under the SIP core, for asyncio: UDP, TCP and TLS over IPv4 and IPv6.

`SipSockets` runs an `Endpoint`; the core knows nothing of this package.
"""

from onrecord.sip.aio.security import Security
from onrecord.sip.aio.sockets import SipSockets
from onrecord.sip.aio.streams import StreamLimits

__all__ = ["Security", "SipSockets", "StreamLimits"]
