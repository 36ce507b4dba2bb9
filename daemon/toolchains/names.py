"""Which of the offered toolchains does a channel mean?

A channel is what stands in `rust-toolchain.toml`, in a request or in `default_toolchain`: the grammar is rustup's,
`<channel>[-<date>][-<host>]` with channel `stable`, `beta`, `nightly`, `1.95` or `1.95.0`
(https://rust-lang.github.io/rustup/concepts/toolchains.html). Several channels may mean one toolchain.
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence

from cache.errors import Evidence
from daemon.errors import NoToolchain, UnknownToolchain
from daemon.toolchains.toolchain import Toolchain

_HOST = "-x86_64-unknown-linux-gnu"
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([a-z]+)(?:\.(\d+))?)?")
_DATED = re.compile(r"(nightly|beta)-(\d{4}-\d{2}-\d{2})")
_STABLE = "stable"
_CHANNELS = (_STABLE, "beta", "nightly")


def resolve(asked: str | None, offered: Sequence[Toolchain], default: str) -> Toolchain:
    """The one offered toolchain that a channel means; `asked` None means the default one.

    An empty default is `stable`, or the only one that is offered.
    `UnknownToolchain` (with what is offered) where none is meant, `NoToolchain` where none is offered at all.
    """
    if not offered:
        raise NoToolchain(
            "make one with `bloomery toolchain make stable`, or name an image under [toolchains] in the configuration"
        )
    if not asked and not default and len(offered) == 1:
        return offered[0]
    wanted = (asked or default or _STABLE).strip()
    found = _named(wanted, offered) or _meant(wanted.removesuffix(_HOST), offered)
    if found is None:
        listed = ", ".join(f"{one.name} ({one.facts.release})" for one in offered)
        remedy = (
            "the source picks none, and `default` under [toolchains] in the configuration names none of them"
            if not asked
            else "ask for one of these in rust-toolchain.toml or with the request, or let the operator make it with "
            f"`bloomery toolchain make {wanted}`"
        )
        raise UnknownToolchain(
            f"toolchain {wanted!r} is not offered; offered are: {listed}; {remedy}",
            asked=wanted,
            offered=[_described(one) for one in offered],
        )
    return found


def _described(toolchain: Toolchain) -> Evidence:
    return {"name": toolchain.name, "release": toolchain.facts.release, "date": toolchain.facts.channel_date}


def _named(name: str, offered: Sequence[Toolchain]) -> Toolchain | None:
    return next((one for one in offered if name in {one.name, one.name + _HOST}), None)


def _meant(channel: str, offered: Sequence[Toolchain]) -> Toolchain | None:
    if (named := _named(channel, offered)) is not None:
        return named
    if channel in _CHANNELS:
        return _newest(offered, lambda one: _channel(one) == channel)
    if dated := _DATED.fullmatch(channel):
        return _newest(offered, lambda one: (_channel(one), _date(one)) == dated.groups())
    if version := _VERSION.fullmatch(channel):
        parts = tuple(int(part) for part in version.groups() if part is not None)
        return _newest(offered, lambda one: _channel(one) == _STABLE and _order(one)[: len(parts)] == parts)
    return _newest(offered, lambda one: one.facts.release == channel)


def _newest(offered: Sequence[Toolchain], wanted: Callable[[Toolchain], bool]) -> Toolchain | None:
    candidates = [one for one in offered if wanted(one)]
    return max(candidates, key=lambda one: (_order(one), one.facts.commit_date), default=None)


def _order(toolchain: Toolchain) -> tuple[int, int, int]:
    release = _RELEASE.fullmatch(toolchain.facts.release)
    if release is None:
        return (0, 0, 0)
    return (int(release[1]), int(release[2]), int(release[3]))


def _channel(toolchain: Toolchain) -> str:
    """`stable`, `beta`, `nightly`, or something that no channel is called (`dev`)."""
    release = _RELEASE.fullmatch(toolchain.facts.release)
    return "" if release is None else release[4] or _STABLE


def _date(toolchain: Toolchain) -> str:
    """The day in rustup's name of it; where the image does not say, the day after the newest commit, as is usual."""
    facts = toolchain.facts
    if facts.channel_date or not facts.commit_date:
        return facts.channel_date
    return str(dt.date.fromisoformat(facts.commit_date) + dt.timedelta(days=1))
