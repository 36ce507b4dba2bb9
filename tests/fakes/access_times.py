"""What is known of access times, for tests."""

import msgspec

from cache.digest import Digest
from daemon.ecosystems.step import Reads
from daemon.toolchains.access_times import Answer


class KnownAccessTimes:
    """An engine of which it is known, without a trial."""

    def __init__(self, told: Reads) -> None:
        self.told = told

    async def reads(self, image: str) -> Reads:
        assert image.startswith("sha256:")
        return self.told


class KeptAnswers:
    """Answers of engines, in memory."""

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}

    @property
    def misses(self) -> tuple[str, ...]:
        """Of the only answer."""
        (answer,) = self.kept.values()
        return msgspec.json.decode(answer, type=Answer).misses

    async def access_times(self, engine: Digest) -> bytes | None:
        return self.kept.get(engine)

    async def record_access_times(self, engine: Digest, answer: bytes) -> None:
        self.kept[engine] = answer
