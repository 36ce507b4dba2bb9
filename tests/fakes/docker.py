"""The engine's own command line, for looking at what the daemon did from outside."""

import subprocess


def docker(*arguments: str) -> str:
    """What it prints; it must succeed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.strip()


def run(image: str, *arguments: str) -> str:
    """What a container of the image prints before it ends."""
    return docker("run", "--rm", "--network", "none", image, *arguments)
