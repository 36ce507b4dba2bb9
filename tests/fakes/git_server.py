"""A git repository of two crates, one of which needs the other by path, behind a server of git's own."""

import os
import signal
import socket
import subprocess
from pathlib import Path

WORDS_TOML = '[package]\nname = "words"\nversion = "0.2.0"\nedition = "2021"\n'
GREETING_TOML = (
    '[package]\nname = "greeting"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nwords = { path = "words" }\n'
)
GREETING = 'pub fn greeting() -> String { format!("hello, {}", words::WORD) }\n'


class GitServer:
    """One repository behind `git daemon`, on a port of this host."""

    def __init__(self, directory: Path) -> None:
        self.repository = directory / "greetings"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.repository.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        command = ("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}")
        # a session of its own, for the daemon answers from children
        self._process = subprocess.Popen([*command, f"--base-path={directory}"], start_new_session=True)

    @property
    def url(self) -> str:
        return f"git://127.0.0.1:{self.port}/greetings"

    def publish(self, word: str) -> str:
        """A commit whose greeting is of this word; returns its revision."""
        files = {
            "Cargo.toml": GREETING_TOML,
            "src/lib.rs": GREETING,
            "words/Cargo.toml": WORDS_TOML,
            "words/src/lib.rs": f'pub const WORD: &str = "{word}";\n',
        }
        for name, content in files.items():
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_text(content)
        self.git("add", "--all")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "--quiet", "-m", word)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        ended = subprocess.run(["git", *words], cwd=self.repository, check=True, capture_output=True, text=True)
        return ended.stdout.strip()

    def end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(30)
