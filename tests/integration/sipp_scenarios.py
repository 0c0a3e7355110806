"""sipp scenarios: callers and agents who do one thing each."""

from __future__ import annotations

from pathlib import Path

from integration.signalling_stand import Stand


def scenario(stand: Stand, steps: str, name: str = "c.xml") -> Path:
    """Write a scenario file."""
    path = stand.folder / name
    head = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="test">\n'
    path.write_text(f"{head}{steps}\n</scenario>\n", encoding="ascii")
    return path


def message(text: str) -> str:
    """Wrap a message for sipp."""
    return f'<send retrans="500"><![CDATA[\n{text}\n]]></send>'


HEADERS = """
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
Max-Forwards: 70
Contact: <sip:sipp@[local_ip]:[local_port]>"""
SDP = """v=0
o=u 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 41000 RTP/AVP 0
a=rtpmap:0 PCMU/8000"""
REQUEST_LINE = "sip:[service]@[remote_ip]:[remote_port] SIP/2.0"
INVITE = message(
    f"INVITE {REQUEST_LINE}{HEADERS}\nCSeq: 1 INVITE\nContent-Type: application/sdp\n"
    f"Content-Length: [len]\n\n{SDP}"
)
ACK = f"<send><![CDATA[\nACK {REQUEST_LINE}{HEADERS}\nCSeq: 1 ACK\nContent-Length: 0\n\n]]></send>"
OPTIONS = (
    message(f"OPTIONS {REQUEST_LINE}{HEADERS}\nCSeq: 1 OPTIONS\nContent-Length: 0\n")
    + '<recv response="200"/>'
)
EARLY = (
    '<recv response="100" optional="true"/><recv response="180" optional="true"/>'
    '<recv response="183" optional="true"/>'
)
REPLY = "[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]"
PLAIN_REPLY = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]"
CONTACT = "Contact: <sip:[local_ip]:[local_port]>"
EMPTY = "Content-Length: 0\n"
RINGING = f"<send><![CDATA[\nSIP/2.0 180 Ringing\n{REPLY}\n{CONTACT}\n{EMPTY}\n]]></send>"
OK = f"<send><![CDATA[\nSIP/2.0 200 OK\n{PLAIN_REPLY}\n{EMPTY}\n]]></send>"
WAITS_FOR_BYE = INVITE + EARLY + f'<recv response="200"/>{ACK}<recv request="BYE"/>{OK}'
CANCELS = (
    INVITE
    + '<recv response="100"/><recv response="180"/>'
    + message(
        f"CANCEL {REQUEST_LINE}{HEADERS}\nCSeq: 1 CANCEL\nContent-Length: 0\n".replace(
            "branch=[branch]", "branch=[branch-3]"
        ).replace("[peer_tag_param]", "")
    )
    + '<recv response="200"/><recv response="487"/>'
    + ACK.replace("[branch]", "[branch-6]")
)
RINGS_UNTIL_CANCELLED = (
    f'<recv request="INVITE"/>{RINGING}<recv request="CANCEL"/>{OK}'
    + message(
        f"SIP/2.0 487 Request Terminated\n{REPLY}\n{EMPTY}".replace(
            "[last_CSeq:]", "CSeq: 1 INVITE"
        )
    )
    + '<recv request="ACK"/>'
)
ANSWERS_AND_HANGS_UP = (
    f'<recv request="INVITE" rrs="true"/>{RINGING}'
    + message(
        f"SIP/2.0 200 OK\n{REPLY}\n{CONTACT}\nContent-Type: application/sdp\n"
        f"Content-Length: [len]\n\n{SDP}"
    )
    + '<recv request="ACK"/><pause milliseconds="200"/>'
    + message(
        "BYE sip:onrecord@127.0.0.1 SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
        "From: <sip:agent@[local_ip]>;tag=[call_number]\nTo:[$1]\n[last_Call-ID:]\n"
        "CSeq: 1 BYE\nMax-Forwards: 70\nContent-Length: 0\n"
    )
    + '<recv response="200"/>'
).replace(
    '<recv request="INVITE" rrs="true"/>',
    '<recv request="INVITE" rrs="true"><action><ereg regexp=".*" search_in="hdr" header="From:" '
    'check_it="true" assign_to="1"/></action></recv>',
)

ACCEPTS = message(
    f"SIP/2.0 200 OK\n{REPLY}\n{CONTACT}\nContent-Type: application/sdp\n"
    f"Content-Length: [len]\n\n{SDP}"
)
ANSWERS_TWICE = (
    f'<recv request="INVITE"/>{RINGING}{ACCEPTS}<recv request="ACK"/><recv request="INVITE"/>'
    + ACCEPTS.replace(REPLY, PLAIN_REPLY)
    + f'<recv request="ACK"/><recv request="BYE"/>{OK}'
)


def refused(status: int) -> str:
    """A caller who expects a failure."""
    return INVITE + EARLY + f'<recv response="{status}"/>' + ACK.replace("[branch]", "[branch-5]")


def refuses(status: int) -> str:
    """An agent who fails the call."""
    return (
        '<recv request="INVITE"/>'
        + message(f"SIP/2.0 {status} No\n{REPLY}\n{EMPTY}")
        + '<recv request="ACK"/>'
    )


def hangs_up_after(milliseconds: int) -> str:
    """A caller who talks so long."""
    bye = message(f"BYE {REQUEST_LINE}{HEADERS}\nCSeq: 2 BYE\nContent-Length: 0\n")
    talk = f'<recv response="200"/>{ACK}<pause milliseconds="{milliseconds}"/>'
    return f'{INVITE}{EARLY}{talk}{bye}<recv response="200"/>'


def in_call(method: str, cseq: int, more: str = "", body: str = "") -> str:
    """A request inside the caller's call, by hand."""
    head = f"{method} {REQUEST_LINE}{HEADERS}\nCSeq: {cseq} {method}\n{more}"
    return message(f"{head}Content-Length: [len]\n\n{body}")


def seen(request: str, header: str, pattern: str) -> str:
    """Take a request in which a header, or the body where it is empty, must match."""
    where = f'search_in="hdr" header="{header}:"' if header else 'search_in="body"'
    return (
        f'<recv request="{request}"><action><ereg regexp="{pattern}" {where} check_it="true" '
        f'assign_to="1"/></action></recv><Reference variables="1"/>'
    )


def reply(status: str, more: str = "", body: str = "") -> str:
    """Answer the last request of a call that has its tags."""
    return message(f"SIP/2.0 {status}\n{PLAIN_REPLY}\n{more}Content-Length: [len]\n\n{body}")


TALKS = f'{INVITE}{EARLY}<recv response="200"/>{ACK}<pause milliseconds="1000"/>'
TAKES = f'<recv request="INVITE"/>{RINGING}{ACCEPTS}<recv request="ACK"/>'
HOLD_SDP = f"{SDP}\na=sendonly"
TYPE = "Content-Type: application/sdp\n"

LATE_BYE = (
    message(f"BYE {REQUEST_LINE}{HEADERS}\nCSeq: 2 BYE\nContent-Length: 0\n").replace(
        "[peer_tag_param]", ";tag=gone"
    )
    + '<recv response="481"/>'
)
