"""The canary: tries cargo's layouts in a toolchain image, and says which of them holds there (law 12).

What the unit store and the workspaces do with a layout is done with it here, to crates that are known. In one sandbox
they are compiled, and their units harvested. In another, empty one the units are put in: cargo has to find all of them
fresh, and to make the same binary; the build after that has to compile nothing; and when sources of members have
changed, at the same time, and these are marked, exactly they and what stands on them have to be compiled. The layout
has to find what each member has read, too. One that fails in any of these costs compiling again, or ships a stale
binary.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.units import RecordedUnits, UnitRecord
from daemon.ecosystems.rust import canary_crates as crates
from daemon.ecosystems.rust.canary_sandbox import CanarySandbox, CanarySandboxes
from daemon.ecosystems.rust.environment import TARGET
from daemon.ecosystems.rust.inputs import UnreadableInputs, read_inputs, unpacked
from daemon.ecosystems.rust.layouts import KNOWN, CargoLayout
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.steps import KNOWN as LEFT
from daemon.ecosystems.rust.steps import inputs_lines, naming, stamp_lines, start_lines
from daemon.ecosystems.step import SOURCE_TIME
from daemon.engine.engine import Sandboxes
from daemon.pipeline.spool import regular_files, spooled
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.toolchain import ToolchainFacts
from daemon.units.cook import Cook, CookNotes, live_units
from daemon.units.harvest import Harvester
from daemon.units.layout import Layout
from daemon.units.placing import Placing
from daemon.units.selection import choose

_BUILD = "cargo build --release --locked --message-format=json || exit $?"
_PROGRAM = f"{TARGET}/release/{crates.PROGRAM}"
_TELL = f"sha256sum < {_PROGRAM} && {_PROGRAM} || exit $?"
_MARKED = " and ".join(crates.MARKED)
_MOST_KNOWN = 16 << 20
_SCOPE = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFound:
    """The layout that holds, or None, and what was found against those that were tried before."""

    layout: Layout | None
    against: Mapping[Layout, str]


class _Wrong(Exception):  # noqa: N818 - reads as what is said of the layout
    """A layout does not hold."""


@dataclass(frozen=True, slots=True)
class _First:
    """The sandbox in which the crates were compiled, cargo's messages, and what the program said of itself."""

    sandbox: CanarySandbox
    reader: CargoReader
    told: str


class Canary:
    """Tries layouts, first that which the toolchain's version implies."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        *,
        scratch: Path | None = None,
        labels: Mapping[str, str] | None = None,
        layouts: Sequence[CargoLayout] = KNOWN,
    ) -> None:
        self._sandboxes = CanarySandboxes(sandboxes, labels or {})
        self._scratch = scratch
        self._layouts = layouts

    async def find(self, facts: ToolchainFacts) -> LayoutFound:
        """Try until one holds; raises `BadToolchain` where the crates do not compile, and what the engine raises."""
        against: dict[Layout, str] = {}
        async with self._sandboxes.sandbox(facts, (_BUILD, _TELL), crates.sources()) as sandbox:
            first = await _compiled(sandbox, facts)
            for layout in sorted(self._layouts, key=lambda one: one.name != facts.layout):
                with TemporaryDirectory(dir=self._scratch, prefix="canary-") as scratch:
                    try:
                        await self._try(layout, facts, first, Path(scratch))
                    except _Wrong as wrong:
                        against[layout.name] = str(wrong)
                    else:
                        return LayoutFound(layout=layout.name, against=against)
        return LayoutFound(layout=None, against=against)

    async def _try(self, layout: CargoLayout, facts: ToolchainFacts, first: _First, scratch: Path) -> None:
        blobs = BlobStore(scratch / "blobs")
        units = choose(await _harvested(layout, first, blobs, scratch), crates.proved())
        placing = Placing(blobs=blobs, layout=layout.units, artefact_time=facts.artefact_mtime)
        members = chain(crates.sources(), placing.members(units))
        async with self._sandboxes.sandbox(facts, _again(layout, facts.artefact_mtime), members) as sandbox:
            heard = await sandbox.run()
            if heard.code:
                raise _Wrong(f"over units that were put in a build ended with code {heard.code}: {heard.complaint}")
            over, told, repeated, marked, afterwards = heard.parts
            _expect("over units that were put in", over.compiled, crates.MEMBERS)
            if told.text != first.told:
                raise _Wrong("over units that were put in another binary was made")
            _expect("by the build after that", repeated.compiled, ())
            _expect(f"after {_MARKED} were marked", marked.compiled, (*crates.MARKED, crates.PROGRAM))
            if not afterwards.text.endswith(f"\n{crates.SAYS_AFTERWARDS}\n"):
                raise _Wrong(f"after {_MARKED} were marked the program says {afterwards.text[-200:]!r}")
            await _inputs_told(layout, sandbox, scratch)


async def _compiled(sandbox: CanarySandbox, facts: ToolchainFacts) -> _First:
    heard = await sandbox.run()
    if heard.code or len(heard.parts) != 2 or not heard.parts[1].text.endswith(f"\n{crates.SAYS}\n"):  # noqa: PLR2004 - as the script has them
        raise BadToolchain(
            f"the crates of a trial do not compile in {facts.image_id} (code {heard.code}): {heard.complaint}",
            image=facts.image_id,
            lacks=["a build that works"],
        )
    return _First(sandbox, heard.parts[0].reader, heard.parts[1].text)


async def _harvested(layout: CargoLayout, first: _First, blobs: BlobStore, scratch: Path) -> tuple[UnitRecord, ...]:
    live = live_units(layout.units, first.reader.artifacts, first.reader.script_runs)
    notes = CookNotes(id=_SCOPE, live=live)
    cook = Cook(scope=_SCOPE, unit_key=Digest.of(b""), origins=crates.proved(), notes=notes)
    harvester = Harvester(blobs=blobs, records=_Kept(), layout=layout.units, scratch=scratch)
    harvest = await harvester.harvest(first.sandbox.get(TARGET), cook)
    found = {(unit.origin.name, unit.kind) for unit in harvest.stored}
    if harvest.refused or harvest.unreadable or found != crates.UNITS:
        refused = (f"{one.words}: {one.why} {one.detail}".strip() for one in harvest.refused)
        why = "; ".join(filter(None, [*refused, harvest.unreadable]))
        found_of = f"{len(found)} of {len(crates.UNITS)} units were found where it says that they are"
        raise _Wrong(f"{found_of} ({why})" if why else found_of)
    return harvest.stored


def _again(layout: CargoLayout, artefact_time: int) -> tuple[str, ...]:
    """The parts of what runs where only the units are."""
    edits = []
    for path, (old, new) in crates.CHANGED.items():
        edits += [f"sed -i s/{old}/{new}/ {path} || exit 70", f"touch -d @{SOURCE_TIME} {path} || exit 70"]
    known = inputs_lines(layout.marks.inputs(sorted(crates.MEMBERS), naming()))
    prepared = [*start_lines(), *layout.marks.dirty(crates.MARKED, (), TARGET), *edits]
    return (
        _BUILD,
        _TELL,
        "\n".join([*stamp_lines(artefact_time), _BUILD]),
        "\n".join([*stamp_lines(artefact_time), *prepared, _BUILD]),
        "\n".join([*known, _TELL]),
    )


def _expect(when: str, compiled: Collection[str], wanted: Collection[str]) -> None:
    if set(compiled) != set(wanted):
        raise _Wrong(f"{when}, {_listed(compiled)} compiled, and {_listed(wanted)} should have been")


def _listed(names: Collection[str]) -> str:
    return f"{', '.join(sorted(names)) or 'nothing'} was"


async def _inputs_told(layout: CargoLayout, sandbox: CanarySandbox, scratch: Path) -> None:
    """The layout finds what members have read: without that a workspace would take a changed file for nobody's."""
    async with spooled(sandbox.get(f"{LEFT}/inputs.tar"), scratch, _MOST_KNOWN, setting="archive") as spool:
        [collected] = [content.read() for _, _, content in regular_files(spool)]
    try:
        inputs = read_inputs(unpacked(BytesIO(collected)), crates.MEMBERS, layout.marks)
    except UnreadableInputs as problem:
        raise _Wrong(f"what members have read cannot be read: {problem}") from problem
    for name, (files, watched) in crates.READ.items():
        missing = files - set(inputs[name].files) | watched - set(inputs[name].watched)
        if missing:
            raise _Wrong(f"that {name} has read {', '.join(sorted(missing))} is not told")


class _Kept:
    """The records of one harvest, of which nothing stays."""

    async def units(self, _scope: str, _unit_key: Digest, _names: Collection[str]) -> tuple[UnitRecord, ...]:
        return ()

    async def record_units(self, units: Sequence[UnitRecord], _given: Iterable[str] = ()) -> RecordedUnits:
        return RecordedUnits(stored=tuple(unit.digest for unit in units), differing=(), unfounded=())
