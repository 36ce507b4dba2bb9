"""The states of a workspace that goes through all seasons: a tree, told by what it is made of.

Two projects of one scope. The mill (`mill.py`) learns its words from everywhere in its tree and here takes crates from
a registry, too; the hedge is one small program with the same choice of crates, so that the two share units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tests.caching.mill import MILL, PROJECT, app_manifest, modified, replaced
from tests.caching.test_units_rung import BUMPED_IDENT, CFG_IF, IDENT, ITOA, MACRO, PASTE, QUOTE, SAYS
from tests.fakes.crates import lock
from tests.fakes.rust_projects import Executable, Files, Link, crate

HEDGE = "bloomery-e2e-hedge"
"""The second project, its package and its program."""
BINARY = {PROJECT: "app", HEDGE: HEDGE}
TEXTS = (
    "README.md", "grain/README.md", "grain/side.txt", "grain/a täxt.txt", "grain/inner/src/inside.txt",
    "shared/note.txt", "shared/other.txt", "proto/api.txt", "opened.txt",
)  # fmt: skip
SOURCES = {
    "app/src/main.rs": ('"."', '"WORD"'),
    "grain/src/gone.rs": ('"gone"', '"WORD"'),
    "grain/inner/src/lib.rs": ('" "', '"WORD"'),
    "grain/build.rs": ("SIDE={}", "SIDE=WORD{}"),
    "rows/build.rs": ("API={}", "API=WORD{}"),
    "rows/src/lib.rs": ("{} {}", "{} WORD {}"),
    "macros/src/lib.rs": ("unwrap())", 'unwrap() + "WORD")'),
}
"""In each, what a word takes the place of."""
TURNS = {
    "extra": {"grain/extra": "", "grain/extra dir/with": "more"},
    "no tool": {"app/src/bin/tool.rs": None},
    "no readme": {"grain/README.md": None},
    "executable": {"grain/tool.sh": Executable("#!/bin/sh\n")},
    "elsewhere": {"app/link": Link("../elsewhere"), "elsewhere/other.txt": "far"},
    "no link": {"app/link": None, "app/link/other.txt": "near"},
    "greeting": {"bloomery.toml": '[build]\nenvironment = { GREETING = "hello" }\n'},
    "writing": {
        "rows/build.rs": 'fn main() {\n    let had = std::fs::read_to_string("made.txt").unwrap_or_default();\n'
        '    std::fs::write("made.txt", had.clone() + "x").unwrap();\n    println!("cargo:rustc-env=API={had}");\n'
        '    let out = std::env::var("OUT_DIR").unwrap() + "/made.rs";\n'
        '    std::fs::write(out, "pub const MADE: &str = \\"written\\";").unwrap();\n}\n'
    },
    "moved": {"grain/src/gone.rs": None, "grain/src/gone/mod.rs": 'pub const WORD: &str = "moved";\n'},
    "named here, too": {
        "grain/inner/src/lib.rs": 'pub fn words() -> &\'static str { include_str!("../../../proto/api.txt") }\n'
    },
    "reformatted": {},
}
"""What is turned on and off by itself, and decides nothing of what comes from outside."""
OUTSIDE = ("itoa", "cfg-if", "cfg-if in a build", "paste", "quote", "plain quote", "other ident", "optimised")
"""Likewise what decides that: a crate more, a feature less, another version at the bottom, another profile."""
MEMBERS_FEATURES = ("loud", "polite")
"""A member's default feature, and one that another member asks for."""

Unit = tuple[str, ...]
"""A package from outside and all that decides what cargo makes of it; two that are equal are one to cargo."""
Change = str | tuple[str, str]
"""A turn; or a file, or `version`, and its new word."""
Exact = tuple[str, ...]
"""All that the exact key of a state may depend on, its project first."""


@dataclass(frozen=True)
class State:
    """One tree of a project."""

    project: str = PROJECT
    texts: tuple[tuple[str, str], ...] = ()
    turns: frozenset[str] = frozenset()
    version: str = "0.1.0"

    def changed(self, changes: Iterable[Change]) -> "State":
        """The state after these changes."""
        state = self
        for change in changes:
            match change:
                case str(turn):
                    state = replace(state, turns=state.turns ^ {turn})
                case ("version", version):
                    state = replace(state, version=version)
                case (path, word):
                    state = replace(state, texts=tuple(sorted({**dict(state.texts), path: word}.items())))
        return state

    def files(self) -> Files:
        """The tree."""
        return self._mill() if self.project == PROJECT else self._hedge()

    def broken(self) -> Files:
        """The same, and it does not compile."""
        if self.project == PROJECT:
            return modified(self.files(), {"rows/src/lib.rs": "pub fn words() -> String { nothing() }\n"})
        return modified(self.files(), {"src/main.rs": "fn main() { nothing() }\n"})

    def members(self) -> frozenset[str]:
        """`name version` of its own packages."""
        own = f"{BINARY[self.project]} {self.version}"
        others = ("grain", "inner", "macros", "rows") if self.project == PROJECT else ()
        return frozenset({own, *(f"{name} 0.1.0" for name in others)})

    def units(self) -> Mapping[str, frozenset[Unit]]:
        """What is compiled of each package from outside, by `name version`.

        What build scripts and macros stand on is never optimised: without a named target it is a program's own unit,
        too, where that is not optimised either.
        """
        turns, optimised = self.turns, "optimised" if "optimised" in self.turns else ""
        found: dict[str, set[Unit]] = {}
        if "itoa" in turns:
            found[ITOA] = {(ITOA, optimised)}
        if "paste" in turns:
            found[PASTE] = {(PASTE, "")}
        if "cfg-if" in turns:
            found[CFG_IF] = {(CFG_IF, optimised)}
        if "cfg-if in a build" in turns:
            found.setdefault(CFG_IF, set()).add((CFG_IF, ""))
        if "quote" in turns:
            ident, plain = self._ident(), "plain" if "plain quote" in turns else ""
            found |= {ident: {(ident, optimised)}, MACRO: {(MACRO, ident, plain, optimised)}}
            found[QUOTE] = {(QUOTE, ident, plain, optimised)}
        return {package: frozenset(units) for package, units in found.items()}

    def exact(self) -> Exact:
        """What the exact key rests on: what comes from outside, and features of members."""
        turns = self.turns & {*OUTSIDE, *(MEMBERS_FEATURES if self.project == PROJECT else ())}
        if "quote" not in turns:
            turns -= {"plain quote", "other ident"}
        return (self.project, *sorted(turns))

    def _ident(self) -> str:
        return BUMPED_IDENT if "other ident" in self.turns else IDENT

    def _direct(self) -> list[str]:
        return [name for name in ("cfg-if", "paste", "quote") if name in self.turns]

    def _wanted(self) -> str:
        plain = 'quote = { version = "1", default-features = false }\n'
        return "".join(plain if f"plain {name}" in self.turns else f'{name} = "1"\n' for name in self._direct())

    def _said(self, *names: str) -> str:
        return "".join(f"    {SAYS[name]}\n" for name in names)

    def _lock(self, local: Mapping[str, Iterable[str]]) -> str:
        own = BINARY[self.project]
        return lock(local, *sorted(self.units()), versions={own: self.version})

    def _mill(self) -> Files:
        files = MILL
        for path, word in self.texts:
            files = modified(files, replaced(path, *_worded(path, word)) if path in SOURCES else {path: word})
        for turn in sorted(self.turns & TURNS.keys()):
            files = modified(files, TURNS[turn])
        app, rows = self._app(), self._rows()
        main, library = str(files["app/src/main.rs"]), str(files["rows/src/lib.rs"])
        said = self._said(*self._direct())
        if "itoa" in self.turns:
            library += "pub fn digits() -> String { itoa::Buffer::new().format(7).to_owned() }\n"
            said += '    println!("{}", rows::digits());\n'
        if "polite" in self.turns:
            library += 'pub fn polite() -> bool { cfg!(feature = "polite") }\n'
            said += '    println!("{}", rows::polite());\n'
        profile = {"Cargo.toml": str(MILL["Cargo.toml"]).replace("opt-level = 0", "opt-level = 1")}
        local = {
            "app": ["grain", "macros", "rows", *self._direct()],
            "grain": ["inner"],
            "inner": [],
            "macros": [],
            "rows": [*_if("itoa" in self.turns, "itoa"), *_if("cfg-if in a build" in self.turns, "cfg-if")],
        }
        return modified(
            files,
            {
                **(profile if "optimised" in self.turns else {}),
                "Cargo.lock": self._lock(local),
                "app/Cargo.toml": app,
                "app/src/main.rs": main.removesuffix("}\n") + said + "}\n",
                "rows/Cargo.toml": rows,
                "rows/src/lib.rs": library,
            },
        )

    def _app(self) -> str:
        described = 'description = "grinds"\n' if "reformatted" in self.turns else ""
        text = app_manifest(self.version, described) + self._wanted()
        if "loud" in self.turns:
            text = text.replace("loud = []\n", 'loud = []\ndefault = ["loud"]\n')
        if "polite" in self.turns:
            text = text.replace('{ path = "../rows" }', '{ path = "../rows", features = ["polite"] }')
        return f"# formatted anew\n\n{text}" if "reformatted" in self.turns else text

    def _rows(self) -> str:
        more = "[features]\npolite = []\n" if "polite" in self.turns else ""
        more += '[dependencies]\nitoa = "1"\n' if "itoa" in self.turns else ""
        more += '[build-dependencies]\ncfg-if = "1"\n' if "cfg-if in a build" in self.turns else ""
        return crate("rows", "0.1.0", more)

    def _hedge(self) -> Files:
        words = " ".join(word for _, word in self.texts)
        direct = [*_if("itoa" in self.turns, "itoa"), *self._direct()]
        in_a_build = "cfg-if in a build" in self.turns
        wanted = ('itoa = "1"\n' if "itoa" in self.turns else "") + self._wanted()
        more = f"[dependencies]\n{wanted}" + ('[build-dependencies]\ncfg-if = "1"\n' if in_a_build else "")
        profile = f"[profile.release]\nopt-level = {int('optimised' in self.turns)}\n"
        turned = ", ".join(sorted(self.turns & {*TURNS, *MEMBERS_FEATURES}))
        return {
            "Cargo.toml": crate(HEDGE, self.version, more + profile),
            "Cargo.lock": self._lock({HEDGE: [*direct, *_if(in_a_build and "cfg-if" not in direct, "cfg-if")]}),
            **({"build.rs": "fn main() {}\n"} if in_a_build else {}),
            "src/main.rs": f'fn main() {{\n    println!("hedge {words} {turned}");\n{self._said(*direct)}}}\n',
        }


def _worded(path: str, word: str) -> tuple[str, str]:
    old, new = SOURCES[path]
    return old, new.replace("WORD", word)


def _if(wanted: bool, name: str) -> list[str]:  # noqa: FBT001 - read at the place of use as it stands
    return [name] if wanted else []
