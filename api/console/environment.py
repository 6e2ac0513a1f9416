"""The Jinja environment of the pages, whose templates a process of its own has compiled.

Compiling takes 130 ms of Python, in which a thread would let the event loop have its turn every 5 ms only, so
that every hit would wait. `python -m api.console.environment` does it elsewhere and hands over byte code,
which is read in a millisecond. Nothing is kept on a disk, where somebody else might put code for us to run.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined

from api.quantities import amount, dollars, number, ratio, seconds
from orchestrator.events import FREE

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

    from orchestrator.events import Cost

FOLDER = Path(__file__).parent / "templates"

ROOT = Path(__file__).parents[2]
"""Where `-m` finds our packages, and not others of the same names in the folder that AMOS was started in."""

COMPILING_S_MAX = 10.0
"""chosen: it takes 0.4 s; where it takes so long the machine has other troubles, and it is done here."""


class ByteCode(BytecodeCache):
    """What is compiled already, by Jinja's key of each template; what is not is added when it is."""

    def __init__(self, known: dict[str, bytes]) -> None:
        self.known = known

    def load_bytecode(self, bucket: Bucket) -> None:
        """Jinja's question for a template. It compares a checksum of the source and the version of Python."""
        if found := self.known.get(bucket.key):
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Jinja's answer when it had to compile one."""
        self.known[bucket.key] = bucket.bytecode_to_string()


def environment(known: dict[str, bytes]) -> Environment:
    """The environment with all its templates; those that are not `known` are compiled, and known then."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        bytecode_cache=ByteCode(known),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        moment=moment,
        seconds=seconds,
        number=number,
        ratio=ratio,
        dollars=dollars,
        amount=amount,
        cost=cost,
    )
    for name in made.list_templates(("html",)):
        made.get_template(name)
    return made


def compiled(python: str = sys.executable, *, within_s: float = COMPILING_S_MAX) -> dict[str, bytes]:
    """The byte code of all templates by another process; of none if that cannot be had. Blocks until then."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            (python, "-m", "api.console.environment"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
            check=True,
        )
        return msgspec.msgpack.decode(done.stdout, type=dict[str, bytes])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return {}


def cost(spent: Cost) -> str:
    """What a call cost, in the provider's unit and in money."""
    if spent == FREE:
        return "nothing"
    money = dollars(spent.usd_micros)
    return f"{amount(spent.amount, spent.unit)} ({money})" if spent.amount and spent.unit else money


def moment(at: float) -> str:
    """A moment for `<time datetime>`, which the page's script shows in the zone of its reader."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    made_here: dict[str, bytes] = {}
    environment(made_here)
    sys.stdout.buffer.write(msgspec.msgpack.encode(made_here))
