"""Writes what is generated and committed: gRPC stubs from proto/, JSON Schemas from the events.

`python tools/generate.py` writes; with `--check` it writes nothing, names what is stale, exits 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc
from onrecord.contracts.registry import FACTS, ce_type, json_schema

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = ROOT / "libs/contracts/src"
SCHEMAS = PROTO / "events"


def stubs(target: Path) -> dict[Path, bytes]:
    """Generate the stubs into `target`; returns them by their path in the repository."""
    protos = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("onrecord/**/*.proto"))
    include = str(files("grpc_tools") / "_proto")
    out = [f"--{kind}_out={target}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", *out, *protos]) != 0:
        raise SystemExit("protoc failed: see its message above")
    generated = {STUBS / path.relative_to(target): path for path in target.rglob("*_pb2*")}
    return {place: path.read_bytes() for place, path in generated.items()}


def schemas() -> dict[Path, bytes]:
    """The JSON Schema of each event, by its path in the repository."""
    return {
        SCHEMAS / f"{ce_type(cls.TYPE)}.schema.json": (
            json.dumps(json_schema(cls), indent=2, sort_keys=True) + "\n"
        ).encode()
        for cls in FACTS.values()
    }


def main(*, check: bool) -> int:
    """Write the generated files, or compare them; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = stubs(Path(folder)) | schemas()
    present = {*STUBS.rglob("*_pb2*.py*"), *SCHEMAS.glob("*.json")}
    stale = [p for p in wanted if not p.is_file() or p.read_bytes() != wanted[p]]
    stale += [p for p in present if p not in wanted and "__pycache__" not in p.parts]
    if check:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (run `make generate`)")
        return 1 if stale else 0
    for path in stale:
        if path not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    print(f"{len(stale)} of {len(wanted)} generated files written")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
