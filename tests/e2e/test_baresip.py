"""A telephone that is not ours calls: baresip plays a file, the agent is a softphone."""

from __future__ import annotations

import contextlib
import random
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onrecord.rtp import g711
from onrecord.softphone import answering
from onrecord.standalone.certificates import SipCertificates
from onrecord.standalone.checks import ANY_CALL, run_checks
from stack import WAIT_SECONDS, RunningStack, laboratory

PLAYED_SECONDS = 12
SURELY_KEPT_SECONDS = 3
MODULES = Path("/usr/lib/baresip/modules")
CONFIG = """\
module_path {modules}
module stdio.so
module g711.so
module aufile.so
module account.so
module menu.so
sip_listen 127.0.0.1:0
net_interface 127.0.0.1
audio_source aufile,{speech}
audio_player aufile,{heard}
audio_alert aufile,{heard}
audio_srate 8000-8000
audio_channels 1-1
sip_certificate {folder}/phone.pem
sip_cafile {folder}/ca.pem
"""


@contextlib.contextmanager
def baresip(folder: Path, program: str, speech: Path, target: str) -> Iterator[None]:
    """Place a call that plays the file and hangs up at its end."""
    heard = folder / "heard.wav"
    config = CONFIG.format(modules=MODULES, speech=speech, heard=heard, folder=folder)
    (folder / "config").write_text(config)
    (folder / "accounts").write_text("<sip:02079460123@127.0.0.1>;regint=0;audio_codecs=PCMU\n")
    with (folder / "baresip.out").open("w") as out:
        process = subprocess.Popen(
            [program, "-f", str(folder), "-e", f"/dial {target}"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        try:
            yield
        except BaseException:
            print((folder / "baresip.out").read_text()[-3000:])
            raise
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


def show_certificate(stack: RunningStack, folder: Path) -> None:
    """Give baresip the phone's certificate and the authority, in the form that it takes."""
    made = SipCertificates(stack.data / "keys" / "sip")
    both = made.key("phone").read_bytes() + made.certificate("phone").read_bytes()
    (folder / "phone.pem").write_bytes(both)
    (folder / "ca.pem").write_bytes(made.authority.read_bytes())


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_what_baresip_says_is_recorded(
    stack: RunningStack, tmp_path: Path, peer: Callable[[str], str], transport: str
) -> None:
    """Its speech is in the caller's leg bit by bit, and nothing from before the notice's end.

    By UDP, and by TLS with certificates on both sides.
    """
    source = random.Random(70)  # noqa: S311 - reproducible, not secret
    spoken = g711.decode("PCMU", source.randbytes(8000 * PLAYED_SECONDS))
    speech = tmp_path / "speech.wav"
    with wave.open(str(speech), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(spoken.astype("<i2").tobytes())
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        show_certificate(stack, tmp_path)
        target = f"sip:1000@{stack.endpoints[f'sip_{transport}']};transport={transport}"
        with baresip(tmp_path, peer("baresip"), speech, target):
            call = await lab.id_of_call_after(head)
            await lab.event(call, "recording.started")
            await lab.event(call, "call.ended")
        verdict = await lab.event(call, "call.verdict")
        assert verdict.fields["verdict"] == "recorded"
        seen = await lab.observe(call, {})
    kept = np.concatenate([g711.decode("PCMU", f.payload) for f in seen.frames("caller")])
    tail = spoken[-8000 * SURELY_KEPT_SECONDS : -8000 // 2].astype("<i2").tobytes()
    assert tail in kept.astype("<i2").tobytes()
    early = spoken[:160].astype("<i2").tobytes()
    assert early not in kept.astype("<i2").tobytes()
    assert not [f for f in run_checks(seen, ANY_CALL) if not f.holds]
