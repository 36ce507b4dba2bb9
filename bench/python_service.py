"""A Python service beside the Dockerfile that people write: copy the requirements, `pip install -r`, copy the rest.

Cold is with nothing kept: ours has a fresh state directory, theirs `--no-cache`. Then an edit of the program, and one
dependency more. Both sides get their packages from the same index, and take turns.
"""

import sys
import tempfile
import time
import uuid
from collections import defaultdict
from pathlib import Path

from bench import figures, options
from bench.container import trusting
from bench.daemon_process import copied, daemon
from bench.engine import CommandFailed, Engine
from bench.figures import Figure, Row
from bench.options import Options
from bench.rest import rested

BARS = {"cold": 0.5, "edit": 1.0}
"""Of theirs, and seconds of ours."""
TAG, THEIR_TAG = "bloomery-bench/python:ours", "bloomery-bench/python:pip"
_MORE = "humanize"
_BUILDKIT = {"DOCKER_BUILDKIT": "1"}
_DOCKERFILE = """\
FROM {base}
ENV BENCH_RUN={nonce}
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=secret,id=ca,target=/run/ca.pem \\
    {exports}pip install --no-cache-dir --break-system-packages -r requirements.txt
COPY . .
CMD ["python3", "app.py"]
"""
_WITH_PIP = "export UV_BREAK_SYSTEM_PACKAGES=1 {exports}; uv pip install --system pip && rm -rf /ca.pem /root/.cache"


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.set_defaults(source=Path("examples/flask/user_service"))
    parser.add_argument("--buildkit", default="/usr/bin/docker", metavar="PROGRAM", help="a docker that has BuildKit")
    found = parser.parse_args()
    asked = options.read(found)
    ours: defaultdict[str, list[float]] = defaultdict(list)
    theirs: defaultdict[str, list[float]] = defaultdict(list)
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as name:
        base = _with_pip(asked)
        for number in range(asked.runs):
            source = copied(asked.source, Path(name, f"run-{number}"))
            other = Pip(asked, found.buildkit, base, Path(name, f"Dockerfile.{number}"))
            with daemon(asked.engine, asked.network) as running:
                rested(running)  # once in the life of a state directory it looks into the toolchain images
                for scenario, rung in (("cold", "none"), ("edit", "layer"), ("dependency", "units")):
                    _change(source, scenario)
                    ours[scenario].append(running.build(source, TAG, expected=rung).seconds)
                    theirs[scenario].append(other.build(source))
                sizes = {tag: _size(asked.engine, tag) for tag in (TAG, THEIR_TAG)}
            told = {scenario: (ours[scenario][-1], theirs[scenario][-1]) for scenario in ours}
            print(f"run {number + 1}:", told, file=sys.stderr)
    asked.engine.docker("rmi", "--force", TAG, THEIR_TAG)
    ratios = [mine / other for mine, other in zip(ours["cold"], theirs["cold"], strict=True)]
    rows = [
        Row("cold, over the Dockerfile with pip", Figure("times", tuple(ratios)), BARS["cold"]),
        *(
            Row(f"{one}: bloomery build", Figure("s", tuple(ours[one])), BARS.get(one) if one == "edit" else None)
            for one in ours
        ),
        *(Row(f"{one}: docker build with pip", Figure("s", tuple(theirs[one]))) for one in theirs),
        Row("bytes of the image", Figure("MB", (sizes[TAG],)), 70.0),
        Row("bytes of theirs, base included", Figure("MB", (sizes[THEIR_TAG],))),
    ]
    figures.report(f"python-{asked.engine.driver}", rows, {"driver": asked.engine.driver, "source": asked.source.name})
    return 0


class Pip:
    """The Dockerfile, with nothing of another run in its cache."""

    def __init__(self, asked: Options, program: str, base: str, file: Path) -> None:
        self._asked = asked
        self._program = program
        self._file = file
        exports = "export SSL_CERT_FILE=/run/ca.pem PIP_CERT=/run/ca.pem; "
        file.write_text(_DOCKERFILE.format(base=base, nonce=uuid.uuid4().hex, exports=exports), encoding="utf-8")
        if "--secret" not in asked.engine.docker("build", "--help", program=program, more=_BUILDKIT):
            raise CommandFailed(f"{program} builds without BuildKit; name another with --buildkit")

    def build(self, source: Path) -> float:
        """Seconds of the whole `docker build` process."""
        network = ["--network", "host"] if self._asked.network == "host" else []
        secret = f"id=ca,src={self._asked.ca_bundle.resolve()}"
        arguments = ["build", "--file", str(self._file), "--secret", secret, *network, "--tag", THEIR_TAG, str(source)]
        began = time.perf_counter()
        self._asked.engine.docker(*arguments, program=self._program, more=_BUILDKIT)
        return time.perf_counter() - began


def _change(source: Path, scenario: str) -> None:
    if scenario == "edit":
        program = source / "app.py"
        program.write_text(f"{program.read_text(encoding='utf-8')}\nBENCH_EDIT = 1\n", encoding="utf-8")
    elif scenario == "dependency":
        requirements = source / "requirements.txt"
        requirements.write_text(f"{requirements.read_text(encoding='utf-8')}\n{_MORE}\n", encoding="utf-8")


def _with_pip(asked: Options) -> str:
    """The toolchain image with pip in it, which it does not have: made once."""
    engine = asked.engine
    base = engine.docker("image", "inspect", "--format", "{{.Id}}", asked.toolchain).removeprefix("sha256:")[:12]
    reference = f"bloomery-bench/pip:{base}"
    if engine.docker("images", "--quiet", reference):
        return reference
    said = " ".join(f"{name}='{value}'" for name, value in trusting().items())
    script = _WITH_PIP.format(exports=said)
    made = engine.docker("create", "--network", asked.network, "--user", "0", asked.toolchain, "sh", "-c", script)
    try:
        engine.docker("cp", str(asked.ca_bundle.resolve()), f"{made}:/ca.pem")
        engine.docker("start", "--attach", made)
        engine.docker("commit", "--change", 'CMD ["sh"]', made, reference)
    finally:
        engine.docker("rm", "--force", "--volumes", made)
    return reference


def _size(engine: Engine, tag: str) -> float:
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6


if __name__ == "__main__":
    sys.exit(main())
