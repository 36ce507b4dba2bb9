"""What was shipped: taken out of its image, and asked for its marks."""

import subprocess
from pathlib import Path

from bench.edits import ASKED
from bench.engine import Engine

_ANSWER_SECONDS = 20.0


def take_binary(engine: Engine, image: str, binary: str, to: Path) -> int:
    """Copy `/app/BINARY` of an image to the host; returns the image's size in bytes."""
    made = engine.docker("create", image)
    try:
        engine.docker("cp", f"{made}:/app/{binary}", str(to))
    finally:
        engine.docker("rm", "--force", made)
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", image))


def remove_image(engine: Engine, image: str) -> None:
    """Remove an image, if it is there."""
    if engine.docker("images", "--quiet", image):
        engine.docker("rmi", "--force", image)


def said_by(engine: Engine, toolchain: str, binary: Path) -> str:
    """What a program says when it is asked for its marks, in a container without a network."""
    mounted = ("--volume", f"{binary}:/shipped:ro", "--env", f"{ASKED}=1")
    command = ["docker", "run", "--rm", "--init", "--network", "none", *mounted, toolchain, "/shipped"]
    try:
        done = subprocess.run(
            command, env=engine.environment, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "it did not end"
    return done.stdout + done.stderr
