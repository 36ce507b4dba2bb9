"""Images of interpreter, packages and application: what is in which layer, why, and which layers an edit leaves."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.behind import Behind
from daemon.ecosystems.application import WrittenFile
from daemon.ecosystems.kept import Fetched, FetchedFile, KeptPackage
from daemon.ecosystems.planned import Plan, Source
from daemon.errors import ImageGone, MissingAsset, MissingLibrary
from daemon.image.architecture import AMD64
from daemon.image.assembled import AssembledImage
from daemon.image.elf import ElfReader
from daemon.image.errors import BadImageSettings
from daemon.image.library_source import LibrarySource
from daemon.pipeline.application_images import ApplicationImages
from daemon.pipeline.check import Checker
from daemon.pipeline.environments import Environment
from daemon.pipeline.installed_ground import Installed
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.kept_layers import KeptLayers
from daemon.tarball import Member
from tests.fakes.elves import HELLO, compile_c, library
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex, host_toolchain
from tests.fakes.python_packages import Distribution, wheel
from tests.fakes.python_projects import APPLE, BERRY, PYTHON, SITE, planned_python, project
from tests.fakes.rust_projects import Executable, Files, Link, source_of
from tests.unit.pipeline.test_kept_layers import Listings

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
ANSWER = "/usr/lib/x86_64-linux-gnu/libanswer.so.1"
Contents = Mapping[str, "bytes | Executable"]


class Making:
    """Makes images over the fake engine; `packages` are the contents of installed ones, by path below site-packages."""

    def __init__(self, state: Path, python: bytes) -> None:
        self.blobs = BlobStore(state)
        self.engine = FakeEngine()
        self.source = LibrarySource(self.engine.sandboxes, self.blobs, MemoryIndex())
        self.kept = KeptLayers(Listings(), self.blobs)
        self.interpreters = Interpreters(
            blobs=self.blobs,
            source=self.source,
            reader=ElfReader(),
            architecture=AMD64,
            kept=self.kept,
            behind=Behind(),
        )
        self.toolchain_files: dict[str, Member] = {
            PYTHON.executable: file(python, 0o755),
            f"{PYTHON.library}/os.py": file(b"import sys\n"),
            f"{PYTHON.library}/test/test_os.py": file(b"a test"),
            f"{PYTHON.library}/turtle.py": file(b"a turtle"),
        }
        self.without = ""
        self.packages: dict[str, Contents] = {"apple": {"apple.py": b"apple\n"}, "berry": {"berry.py": b"berry\n"}}
        self.sources: Files = {}
        self.written: tuple[WrittenFile, ...] = ()
        self._toolchain_image = ""

    async def __call__(self, **settings: object) -> AssembledImage:
        return (await self.made(**settings))[0]

    async def made(self, **settings: object) -> tuple[AssembledImage, Source, Plan]:
        if not self._toolchain_image:
            made = host_toolchain(self.engine, self.toolchain_files, without=self.without)
            self._toolchain_image = made.facts.image_id
        toolchain = host_toolchain(FakeEngine())
        toolchain = replace(toolchain, facts=replace(toolchain.facts, image_id=self._toolchain_image, python=PYTHON))
        locked = [_distribution(name) for name in self.packages]
        files = project(*locked, files=self.sources)
        source = source_of(self.blobs, files)
        planned = planned_python(self.blobs, files, offered=[toolchain])
        assert planned.plan.packages is not None
        kept = {
            name: KeptPackage(fetched=Fetched(files=tuple(map(self._file, contents.items()))))
            for name, contents in zip(planned.plan.packages.names, self.packages.values(), strict=True)
        }
        (image,) = planned.plan.images
        asked = replace(image.settings, **settings) if settings else image.settings
        application = planned.application
        application = replace(application, written=(*application.written, *self.written))
        maker = ApplicationImages(
            blobs=self.blobs,
            source=self.source,
            reader=ElfReader(),
            architecture=AMD64,
            interpreters=self.interpreters,
            kept=self.kept,
        )
        installed = Installed(environment=Environment(packages=kept), application=application, spent={}, reused=())
        return await maker.image(installed, replace(image, settings=asked), source, planned.plan), source, planned.plan

    def layers(self, image: AssembledImage) -> list[list[str]]:
        """The regular files and links of each layer, lowest first."""
        found = []
        for layer in image.layers:
            with tarfile.open(fileobj=io.BytesIO(self.blobs.read(layer))) as tar:
                found.append([f"/{entry.name}" for entry in tar if not entry.isdir()])
        return found

    def _file(self, one: tuple[str, "bytes | Executable"]) -> FetchedFile:
        path, content = one
        data = content.content.encode() if isinstance(content, Executable) else content
        return FetchedFile(
            path=path if path.startswith("/") else f"{SITE}/{path}",
            digest=str(self.blobs.put(data)),
            size=len(data),
            executable=isinstance(content, Executable),
        )


def _distribution(name: str) -> Distribution:
    return {"apple": APPLE, "berry": BERRY}.get(name) or wheel(name)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that needs the C library."""
    return compile_c(tmp_path_factory.mktemp("python") / "python", HELLO).read_bytes()


@pytest.fixture
def make(tmp_path: Path, python: bytes) -> Making:
    return Making(tmp_path / "state", python)


@pytest.fixture
def extension(make: Making, tmp_path: Path) -> bytes:
    """An extension module that needs a library, which the toolchain image has."""
    answer = library(tmp_path / "libanswer.so.1")
    make.toolchain_files[ANSWER] = file(answer.read_bytes())
    source = "int answer(void);\nint go(void) { return answer(); }\n"
    return compile_c(tmp_path / "_apple.so", source, "-shared", "-fPIC", answer).read_bytes()


def reasons(image: AssembledImage) -> dict[str, str]:
    return {one.path: one.reason for one in image.contents if one.kind != "directory"}


# --- layers


async def test_interpreter_packages_and_application_lie_on_each_other(make: Making):
    image = await make()

    assert make.layers(image) == [
        [LIBC, "/lib64/ld-linux-x86-64.so.2", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/lib/python3.11/os.py"],
        [
            *("/env/bin/python", "/env/bin/python3", "/env/bin/python3.11"),
            *(f"{SITE}/apple.py", f"{SITE}/berry.py", "/env/pyvenv.cfg"),
        ],
        ["/app/app.py", f"{SITE}/app.pth", "/etc/group", "/etc/passwd"],
    ]
    assert image.binary == "app"
    assert image.entrypoint == ("python", "app.py")
    assert image.user == "65532:65532"
    assert image.environment["PATH"].startswith("/env/bin:")
    assert image.warnings == ()
    assert (image.symbols, image.working_directory) == (None, "/app")


async def test_every_file_says_why_it_is_there(make: Making):
    found = reasons(await make())

    assert found["/usr/bin/python3.11"] == "interpreter: Python 3.11.2"
    assert found["/usr/lib/python3.11/os.py"] == "standard library of Python 3.11.2"
    assert found[LIBC] == "library: needed by /usr/bin/python3.11"
    assert found[f"{SITE}/apple.py"] == "package: apple 1.0"
    assert found["/app/app.py"] == "application: app.py"
    assert found[f"{SITE}/app.pth"] == "application: where its modules are"


async def test_what_was_made_passes_its_check(make: Making, extension: bytes):
    make.packages["apple"] = {"_apple.so": extension}
    image, source, _ = await make.made()

    await Checker(make.blobs, ElfReader(), AMD64).check(image, source.tree, ())


async def test_an_edit_of_the_application_leaves_the_two_lower_layers(make: Making):
    before = await make()
    make.sources = {"app.py": "import berry\n"}

    after = await make()

    assert before.layers[:2] == after.layers[:2]
    assert before.layers[2] != after.layers[2]


async def test_another_package_leaves_the_interpreter_and_the_application(make: Making):
    before = await make()
    make.packages["cherry"] = {"cherry.py": b"cherry\n"}

    after = await make()

    assert before.layers[0] == after.layers[0]
    assert before.layers[1] != after.layers[1]
    assert before.layers[2] == after.layers[2]


async def test_layers_that_are_known_are_not_written_again(make: Making):
    first = await make()
    for layer in first.layers[:2]:
        make.blobs.path(layer).write_bytes(b"as it was left")
    make.sources = {"app.py": "import berry\n"}

    second = await make()

    assert second.layers[:2] == first.layers[:2]
    assert [make.blobs.path(layer).read_bytes() for layer in first.layers[:2]] == [b"as it was left"] * 2


async def test_two_state_directories_make_one_image(tmp_path: Path, python: bytes):
    first, second = (Making(tmp_path / name, python) for name in ("one", "two"))

    one, two = await first(), await second()

    assert (one.manifest_digest, one.layers, one.listing) == (two.manifest_digest, two.layers, two.listing)


async def test_a_second_image_asks_the_engine_nothing(make: Making):
    await make()
    asked = len(make.engine.calls)
    make.sources = {"app.py": "import berry\n"}

    await make()

    assert asked
    assert len(make.engine.calls) == asked
    assert make.engine.containers == {}


async def test_of_the_standard_library_what_no_service_runs_is_left_out(make: Making):
    found = reasons(await make())

    assert f"{PYTHON.library}/os.py" in found
    assert not any("test" in path or "turtle" in path for path in found)


async def test_a_toolchain_image_without_its_python_is_gone(make: Making):
    del make.toolchain_files[PYTHON.executable]

    with pytest.raises(ImageGone):
        await make()


# --- libraries


async def test_a_library_goes_to_the_layer_that_needs_it(make: Making, extension: bytes):
    plain = await make()
    make.packages["apple"] = {"_apple.so": extension}

    image = await make()

    interpreter, packages, application = make.layers(image)
    assert ANSWER.removeprefix("/usr") in {path.removeprefix("/usr") for path in packages}
    assert not any("libanswer" in path for path in (*interpreter, *application))
    assert LIBC in interpreter
    assert LIBC not in packages
    assert image.layers[0] == plain.layers[0]
    (reason,) = [reason for path, reason in reasons(image).items() if "libanswer" in path]
    assert reason == f"library: needed by {SITE}/_apple.so"


async def test_a_library_of_the_standard_library_goes_to_the_interpreter(make: Making, extension: bytes):
    make.toolchain_files[f"{PYTHON.library}/lib-dynload/_answer.so"] = file(extension)

    interpreter, packages, _ = make.layers(await make())

    assert any("libanswer" in path for path in interpreter)
    assert not any("libanswer" in path for path in packages)


async def test_a_library_that_a_package_brings_is_not_put_there_twice(make: Making, tmp_path: Path):
    answer = library(tmp_path / "libanswer.so.1")
    source = "int answer(void);\nint go(void) { return answer(); }\n"
    flags = ("-shared", "-fPIC", answer, "-Wl,-rpath,$ORIGIN/apple.libs")
    module = compile_c(tmp_path / "_apple.so", source, *flags).read_bytes()
    make.packages["apple"] = {"_apple.so": module, "apple.libs/libanswer.so.1": answer.read_bytes()}

    found = reasons(await make())

    assert [path for path in found if "libanswer" in path] == [f"{SITE}/apple.libs/libanswer.so.1"]


async def test_a_package_that_needs_what_the_toolchain_image_lacks_is_refused(make: Making, extension: bytes):
    del make.toolchain_files[ANSWER]
    make.packages["apple"] = {"_apple.so": extension}

    with pytest.raises(MissingLibrary, match=r"_apple\.so needs libanswer\.so\.1"):
        await make()


async def test_what_a_package_may_open_and_is_not_there_is_told(make: Making, tmp_path: Path):
    source = '#include <dlfcn.h>\nint go(void) { return dlopen("libsecret-1.so.0", RTLD_NOW) == 0; }\n'
    module = compile_c(tmp_path / "_apple.so", source, "-shared", "-fPIC")
    make.packages["apple"] = {"_apple.so": module.read_bytes()}

    image = await make()

    assert image.warnings == (f"{SITE}/_apple.so may dlopen libsecret-1.so.0, which the image does not hold",)


# --- two that claim one path


async def test_of_two_packages_that_claim_a_path_the_first_has_it_and_it_is_told(make: Making):
    make.packages = {"apple": {"tests/__init__.py": b"of apple"}, "berry": {"tests/__init__.py": b"of berry"}}

    image = await make()

    path = f"{SITE}/tests/__init__.py"
    assert image.warnings == (f"{path} is of two packages (package: apple 1.0; package: berry 1.0); the first has it",)
    (entry,) = [one for one in image.contents if one.path == path]
    assert entry.digest == str(Digest.of(b"of apple"))


async def test_two_packages_with_the_same_file_have_it_in_peace(make: Making):
    make.packages = {"apple": {"ns/__init__.py": b""}, "berry": {"ns/__init__.py": b""}}

    assert (await make()).warnings == ()


async def test_no_package_takes_the_place_of_the_environment_itself(make: Making):
    make.packages["apple"] = {"/env/pyvenv.cfg": b"include-system-site-packages = true\n"}

    image = await make()

    (entry,) = [one for one in image.contents if one.path == "/env/pyvenv.cfg"]
    assert entry.reason == "environment: what makes it one"
    assert len(image.warnings) == 1


async def test_what_the_application_writes_lies_over_what_packages_have(make: Making):
    make.packages["apple"] = {"/env/bin/shop": Executable("#!/env/bin/python\n")}
    make.written = (
        WrittenFile(path="/env/bin/shop", content=b"own\n", reason="its own installation", executable=True),
    )

    image, source, _ = await make.made()

    (entry,) = [one for one in image.contents if one.path == "/env/bin/shop"]
    assert (entry.reason, entry.mode) == ("application: its own installation", 0o755)
    await Checker(make.blobs, ElfReader(), AMD64).check(image, source.tree, ())


async def test_two_things_of_the_application_that_claim_a_path_are_refused(make: Making):
    make.written = (WrittenFile(path="/app/app.py", content=b"other", reason="a test"),)

    with pytest.raises(BadImageSettings, match=r"two things would be /app/app\.py"):
        await make()


# --- the application


async def test_files_keep_their_executable_bit_and_links_their_target(make: Making):
    make.sources = {"start": Executable("#!/bin/sh\n"), "current.py": Link("app.py")}
    make.packages["apple"] = {"/env/bin/apple": Executable("#!/env/bin/python\n"), "apple.py": b"apple\n"}

    found = {one.path: one for one in (await make()).contents}

    assert (found["/app/start"].mode, found["/app/app.py"].mode) == (0o755, 0o644)
    assert (found["/env/bin/apple"].mode, found[f"{SITE}/apple.py"].mode) == (0o755, 0o644)
    assert (found["/app/current.py"].kind, found["/app/current.py"].target) == ("symlink", "app.py")


async def test_another_working_directory_has_the_application(make: Making):
    image = await make(working_directory="/srv")

    assert "/srv/app.py" in reasons(image)
    assert image.working_directory == "/srv"


async def test_what_is_included_is_there_once_also_where_it_is_the_application(make: Making):
    make.sources = {"templates/a.html": "a", "docs/b.html": "b"}

    image = await make(include=("templates/", "docs/b.html"))

    assert reasons(image)["/app/docs/b.html"] == "included: docs/b.html"
    assert reasons(image)["/app/templates/a.html"] == "application: templates/a.html"
    with pytest.raises(MissingAsset):
        await make(include=("gone/",))


async def test_what_is_included_gets_the_libraries_that_it_needs(make: Making, extension: bytes, tmp_path: Path):
    path = tmp_path / "plugin.so"
    path.write_bytes(extension)
    make.sources = {"plugins/plugin.so": path.read_bytes()}

    found = reasons(await make(include=("plugins/",)))

    assert any(reason == "library: needed by /app/plugins/plugin.so" for reason in found.values())


# --- certificates


def ssl(make: Making, tmp_path: Path) -> bytes:
    """A module that needs a library which speaks TLS."""
    made = library(tmp_path / "libssl.so.3", function="connect_tls")
    make.toolchain_files["/usr/lib/x86_64-linux-gnu/libssl.so.3"] = file(made.read_bytes())
    source = "int connect_tls(void);\nint go(void) { return connect_tls(); }\n"
    return compile_c(tmp_path / "_ssl.so", source, "-shared", "-fPIC", made).read_bytes()


async def test_certificates_are_there_where_the_interpreter_speaks_tls(make: Making, tmp_path: Path):
    make.toolchain_files[f"{PYTHON.library}/lib-dynload/_ssl.so"] = file(ssl(make, tmp_path))

    image = await make()

    assert reasons(image)[CERTIFICATES] == "certificates: TLS is linked (libssl.so.3)"
    assert image.environment["SSL_CERT_FILE"] == CERTIFICATES
    assert CERTIFICATES in make.layers(image)[2]


async def test_certificates_are_there_where_a_package_speaks_tls(make: Making, tmp_path: Path):
    make.packages["apple"] = {"_apple.so": ssl(make, tmp_path)}

    assert reasons(await make())[CERTIFICATES] == "certificates: TLS is linked (libssl.so.3)"


async def test_where_nobody_speaks_tls_there_are_none_unless_they_are_asked_for(make: Making):
    plain, asked = await make(), await make(include=("ca",))

    assert CERTIFICATES not in reasons(plain)
    assert "SSL_CERT_FILE" not in plain.environment
    assert reasons(asked)[CERTIFICATES] == "included: ca"
    assert asked.environment["SSL_CERT_FILE"] == CERTIFICATES


async def test_tls_without_certificates_in_the_toolchain_image_is_told(make: Making, tmp_path: Path):
    make.without = CERTIFICATES
    make.packages["apple"] = {"_apple.so": ssl(make, tmp_path)}

    image = await make()

    assert CERTIFICATES not in reasons(image)
    assert "no CA bundle" in image.warnings[0]


async def test_settings_go_over_what_is_found_necessary(make: Making):
    image = await make(include=("ca",), environment={"SSL_CERT_FILE": "/own.pem"})

    assert image.environment["SSL_CERT_FILE"] == "/own.pem"
