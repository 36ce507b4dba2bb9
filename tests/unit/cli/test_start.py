"""The client starts light: what is loaded for `bloomery build`."""

import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp", "aiodocker", "msgspec", "structlog", "sqlite_utils", "sqlite3", "asyncio", "daemon", "elftools",
    "prometheus_client", "http.client", "email", "ssl", "subprocess", "concurrent", "shutil", "unicodedata",
    "importlib.metadata",
)  # fmt: skip


@pytest.mark.parametrize(
    "module",
    [
        "api.__main__",
        "api.commands.build",
        "api.client.uploading",
        "api.commands.explain",
        "api.commands.logs",
    ],
)
def test_nothing_heavy_is_loaded(module: str):
    code = f"import sys; known = set(sys.modules); import {module}; print(*(set(sys.modules) - known))"

    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )

    assert module in loaded
    assert loaded.isdisjoint(HEAVY)


def test_asking_for_help_loads_no_command():
    code = "import sys; from api.__main__ import main; main(['--help']); print('api.commands.build' in sys.modules)"

    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert printed.endswith("False\n")
