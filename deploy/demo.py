"""The main job, on real input: examples/hyper-hello built on each rung of the reuse ladder; each image run and asked.

Starts a daemon of its own with an empty state directory, so the first build is cold; takes everything away at the end.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOOMERY = ROOT / ".venv" / "bin" / "bloomery"
EXAMPLE = ROOT / "examples" / "hyper-hello"
TAG = "bloomery-demo/hyper-hello:demo"


@dataclass(frozen=True)
class Step:
    """One build: on which lineage, what the program says by then, and the rung that it must stand on."""

    what: str
    rung: str
    answer: str
    lineage: str = "main"


STEPS = (
    Step("cold", "none", "Hello, world!"),
    Step("one line edited, on another lineage", "layer", "Hello from a fix!", lineage="fix"),
    Step("one line edited, on the first lineage", "workspace", "Hello again, world!"),
    Step("unchanged", "result", "Hello again, world!"),
)


@dataclass(frozen=True)
class Row:
    """One line of the closing table."""

    what: str
    rung: str
    seconds: float
    saved: float
    size: int
    files: int
    answer: str


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """Something is not as it should be."""


@contextmanager
def daemon(state: Path) -> Iterator[str]:
    """A daemon on a free port; yields its URL."""
    log = state / "daemon.log"
    with log.open("wb") as output:
        command = [BLOOMERY, "serve", "--state-dir", state, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _address(state, process, log)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _address(state: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        address = state / "address"
        if address.exists() and (text := address.read_text().strip()):
            return text if text.startswith("http") else f"http://{text}"
        time.sleep(0.05)
    raise DemoFailed(f"the daemon did not start:\n{log.read_text()}")


def build(url: str, source: Path, step: Step) -> Row:
    """Build with the command line, as a user does; then run the image and ask it."""
    print(f"\n--- {step.what}", file=sys.stderr, flush=True)
    environment = {**os.environ, "BLOOMERY_URL": url}
    started = time.monotonic()
    # Without a parent the branch stands on the layer, which is what this step is to show.
    whose = ["--project", "hyper-hello-demo", "--lineage", step.lineage, "--parent", "none"]
    done = subprocess.run(
        [BLOOMERY, "build", source, "-t", TAG, *whose], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise DemoFailed(f"{step.what}: bloomery build ended with {done.returncode}")
    outcome = _api(url, "/v1/builds?limit=1")["builds"][0]["outcome"]
    reuse, image = outcome["reuse"], outcome["images"][0]
    answer = run_and_ask(done.stdout.strip())
    if (reuse["rung"], answer) != (step.rung, step.answer):
        raise DemoFailed(f"{step.what}: from {reuse['rung']}, answers {answer!r}; not {step.rung}, {step.answer!r}")
    return Row(step.what, reuse["rung"], seconds, reuse["seconds_saved"], image["size"], image["files"], answer)


def run_and_ask(reference: str) -> str:
    """`docker run` and one GET of `/` at the container's own port 3000."""
    container = _docker("run", "--detach", "--publish", "127.0.0.1::3000", reference)
    try:
        port = _docker("port", container, "3000").splitlines()[0].rpartition(":")[2]
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as response:
                    return response.read().decode()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise DemoFailed(f"{reference} does not answer:\n{_docker('logs', container)}")
    finally:
        _docker("rm", "--force", container)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _api(url: str, path: str) -> dict:
    with urllib.request.urlopen(url + path, timeout=10) as response:  # noqa: S310 - our own daemon
        return json.load(response)


def table(rows: list[Row]) -> str:
    """The closing table."""
    head = ("build", "rung", "seconds", "saved", "image size", "files", "answer")
    lines = [
        (r.what, r.rung, f"{r.seconds:.2f}", f"{r.saved:.1f}", f"{r.size / 2**20:.1f} MiB", str(r.files), r.answer)
        for r in rows
    ]
    widths = [max(len(line[n]) for line in (head, *lines)) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *lines)
    )


def main() -> int:
    """Run the demo; 0 if every image answered as its sources say and came from the expected rung."""
    with tempfile.TemporaryDirectory(prefix="bloomery-demo-") as folder:
        state, source = Path(folder, "state"), Path(folder, "hyper-hello")
        state.mkdir()
        shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("target"))
        code = source / "src" / "main.rs"
        text = code.read_text()
        rows: list[Row] = []
        try:
            with daemon(state) as url:
                for step in STEPS:
                    code.write_text(text.replace(STEPS[0].answer, step.answer))
                    rows.append(build(url, source, step))
        except DemoFailed as failure:
            print(f"demo: {failure}", file=sys.stderr)
            return 1
        finally:
            _tidy(state)
    print("\n" + table(rows))
    return 0


def _tidy(state: Path) -> None:
    """Remove what the daemon left in the engine: workspaces, layers, and the images that were built."""
    if not (state / "bloomery.sqlite").exists():
        return
    with closing(sqlite3.connect(state / "bloomery.sqlite")) as tables:
        (instance,) = tables.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()
        built = tables.execute("SELECT json_extract(outcome, '$.images[0].image_id') FROM builds").fetchall()
    mine = ("--filter", f"label=bloomery.instance={instance}")
    if workspaces := _docker("ps", "--all", "--quiet", *mine).split():
        _docker("rm", "--force", *workspaces)
    layers = _docker("images", "--quiet", "--no-trunc", *mine).split()
    made = {TAG, *layers, *(image for (image,) in built if image)}
    # One that is gone already is no loss, and the demo has said what it had to say.
    subprocess.run(["docker", "rmi", "--force", *made], capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
