"""Python packages in tests: wheels and sdists made on the spot, and an index of them that remembers its requests.

Formats: https://packaging.python.org/en/latest/specifications/binary-distribution-format/ and
https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONG_AGO = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Distribution:
    """One file of an index."""

    name: str
    version: str
    file: str
    content: bytes = field(repr=False)
    metadata: str = ""
    """What the index tells of it by itself; empty: it has to be fetched to be known."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    *,
    requires: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Distribution:
    """A wheel; by default of one module, named as the package, whose `word` is its name and version."""
    metadata = _metadata(name, version, requires)
    info = f"{name}-{version}.dist-info"
    contents = dict(files if files is not None else {f"{name}.py": f'word = "{name}-{version}"\n'})
    contents[f"{info}/METADATA"] = metadata
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join(f"{path},{_digest(content)},{len(_bytes(content))}\n" for path, content in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, LONG_AGO), _bytes(content))
    return Distribution(name, version, f"{name}-{version}-{tag}.whl", packed.getvalue(), metadata)


def sdist(
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    *,
    requires: Sequence[str] = (),
    pyproject: str = "",
    dynamic: bool = False,
) -> Distribution:
    """An sdist; `dynamic` metadata leave it to the package's code what it requires."""
    metadata = _metadata(name, version, requires, version_of_it="2.1" if dynamic else "2.2")
    contents = {"PKG-INFO": metadata, "pyproject.toml": pyproject, **(files or {})}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in contents.items():
            if path == "pyproject.toml" and not content:
                continue
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(_bytes(content))
            archive.addfile(entry, io.BytesIO(_bytes(content)))
    return Distribution(name, version, f"{name}-{version}.tar.gz", packed.getvalue())


BACKEND = """
import io, pathlib, zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import tool
    exec(pathlib.Path("before.py").read_text()) if pathlib.Path("before.py").exists() else None
    name, version = pathlib.Path("NAME").read_text().split()
    info = f"{name}-{version}.dist-info"
    file = f"{name}-{version}-py3-none-any.whl"
    contents = {
        f"{name}.py": pathlib.Path("module.py").read_text() + f"built_by = {tool.word!r}\\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in contents) + f"{info}/RECORD,,\\n"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, file), "w") as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content)
    return file
"""
"""A build backend of a package's own, which needs the package `tool`."""


def built(name: str, version: str = "1.0", *, before: str = "", requires: Sequence[str] = ("tool",)) -> Distribution:
    """An sdist without a wheel, with a build backend of its own; `before` is code that it runs when it is built."""
    wanted = ", ".join(f'"{one}"' for one in requires)
    files = {
        "NAME": f"{name} {version}",
        "module.py": f'word = "{name}-{version}"\n',
        "own_backend.py": BACKEND,
        **({"before.py": before} if before else {}),
    }
    pyproject = f'[build-system]\nrequires = [{wanted}]\nbuild-backend = "own_backend"\nbackend-path = ["."]\n'
    return sdist(name, version, files, pyproject=pyproject)


class PackageIndex:
    """Serves `packages`; add to them at any time."""

    def __init__(self, packages: Sequence[Distribution]) -> None:
        self.packages = list(packages)
        self._asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index._asked.append(self.path)
                kind, content = index._found(self.path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Its address, as uv is given it."""
        return f"http://127.0.0.1:{self.server.server_port}/simple"

    def asked(self) -> list[str]:
        """All that was asked since this was asked last, sorted."""
        found, self._asked = sorted(self._asked), []
        return found

    def downloads(self) -> list[str]:
        """Of that the files."""
        files = (path.rpartition("/")[2] for path in self.asked() if path.startswith("/files/"))
        return [file for file in files if not file.endswith(".metadata")]

    def _found(self, path: str) -> tuple[str, bytes | None]:
        if path.startswith("/files/"):
            asked = path.removeprefix("/files/")
            for one in self.packages:
                if asked == one.file:
                    return "application/octet-stream", one.content
                if asked == f"{one.file}.metadata" and one.metadata:
                    return "text/plain", one.metadata.encode()
            return "text/plain", None
        name = path.removeprefix("/simple/").strip("/")
        files = [self._listed(one) for one in self.packages if one.name == name]
        listing = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
        return "application/vnd.pypi.simple.v1+json", json.dumps(listing).encode() if files else None

    def _listed(self, one: Distribution) -> dict[str, object]:
        url = f"http://127.0.0.1:{self.server.server_port}/files/{one.file}"
        return {
            "filename": one.file,
            "url": url,
            "hashes": {"sha256": one.sha256},
            "size": len(one.content),
            "core-metadata": bool(one.metadata),
        }


@contextmanager
def served(*packages: Distribution) -> Iterator[PackageIndex]:
    """An index that answers as long as the block lasts."""
    index = PackageIndex(packages)
    thread = threading.Thread(target=index.server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        index.server.shutdown()
        thread.join()
        index.server.server_close()


def _metadata(name: str, version: str, requires: Sequence[str], version_of_it: str = "2.1") -> str:
    lines = [f"Metadata-Version: {version_of_it}", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {one}" for one in requires), ""])


def _digest(content: str | bytes) -> str:
    digest = hashlib.sha256(_bytes(content)).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
