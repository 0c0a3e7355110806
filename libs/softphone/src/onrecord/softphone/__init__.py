"""A scripted caller and agent with real SIP and RTP."""

from onrecord.softphone.behaviour import answering, rejecting, ringing
from onrecord.softphone.call import CallEndedEarly, PhoneCall
from onrecord.softphone.media import MediaFrame, MediaSession
from onrecord.softphone.phone import Softphone

__all__ = [
    "CallEndedEarly",
    "MediaFrame",
    "MediaSession",
    "PhoneCall",
    "Softphone",
    "answering",
    "rejecting",
    "ringing",
]
