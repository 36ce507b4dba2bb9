"""What each stand-in is made of: packages, a program of ours where they have none, and how the image starts."""

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

LABEL = "bloomery.stand-in"
_HERE = Path(__file__).parent
_PRINTING = "python3 -m aiosmtpd --nosetuid --listen 0.0.0.0:1025 --class aiosmtpd.handlers.Debugging stdout"
"""aiosmtpd itself prints each mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One stand-in; `changes` are Dockerfile lines as `docker import` takes them."""

    name: str
    packages: tuple[str, ...]
    changes: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    """mmdebstrap's options beside the usual ones."""
    entrypoint: Path | None = None
    """Put in as `/usr/local/bin/stand-in`."""

    @property
    def reference(self) -> str:
        """What the examples' Compose files call it."""
        return f"bloomery/stand-in:{self.name}"

    @property
    def digest(self) -> str:
        """Another one is another image."""
        program = self.entrypoint.read_text() if self.entrypoint else ""
        parts = json.dumps([self.packages, self.changes, self.hooks, program])
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


DATABASE = Recipe(
    name="database",
    packages=("postgresql-15", "tzdata"),
    hooks=(
        # else its installation makes a cluster and tries to start it
        '--essential-hook=mkdir -p "$1/etc/postgresql-common"',
        '--essential-hook=echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"',
        "--dpkgopt=force-confold",
    ),
    entrypoint=_HERE / "database" / "entrypoint",
    changes=(
        "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        'ENTRYPOINT ["/usr/local/bin/stand-in"]',
        "EXPOSE 5432",
    ),
)
SMTP = Recipe(
    name="smtp",
    packages=("python3-aiosmtpd",),
    changes=(
        "ENV PATH=/usr/bin:/bin",
        "ENV PYTHONUNBUFFERED=1",
        f"ENTRYPOINT {json.dumps(shlex.split(_PRINTING))}",
        "USER nobody",
        "EXPOSE 1025",
    ),
)
RECIPES = (DATABASE, SMTP)
