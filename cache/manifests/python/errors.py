"""What can be wrong with a Python project, one class per cause."""

from cache.errors import Blame, Failure


class BadRequirements(Failure):
    """A requirements file cannot be read; `evidence` has `file`, and `line` if known."""

    kind = "bad_requirements"
    title = "A requirements file cannot be read"
    blame = Blame.SOURCE


class UnsupportedRequirement(Failure):
    """A requirement needs what is not offered; `evidence` has `file`, and `line` and `text` if known."""

    kind = "unsupported_requirement"
    title = "A requirement is of a kind that is not supported"
    blame = Blame.SOURCE


class UnsupportedSource(Failure):
    """A locked package is no file with a URL and a sha256; `evidence` has `file` and `package`."""

    kind = "unsupported_source"
    title = "A locked package does not come as a file that can be proved"
    blame = Blame.SOURCE


class NoWheel(Failure):
    """A locked package has no wheel for the interpreter and no sdist; `evidence["wheels"]` lists what it has."""

    kind = "no_wheel"
    title = "A package has no file for this interpreter"
    blame = Blame.SOURCE


class HashMismatch(Failure):
    """None of the requirements' hashes is that of the chosen file; `evidence` has `package`, `found`, `allowed`."""

    kind = "hash_mismatch"
    title = "A package's file is not among the hashes of the requirements"
    blame = Blame.SOURCE


class UnfitPython(Failure):
    """The project is not for this interpreter; `evidence` has `python`, `wanted` and the `file` that says so."""

    kind = "unfit_python"
    title = "The project does not run on this Python"
    blame = Blame.SOURCE


class UnknownExtra(Failure):
    """`[python] extras` or `groups` names what the project has not; `evidence["offered"]` lists what it has."""

    kind = "unknown_extra"
    title = "The project has no such extra or dependency group"
    blame = Blame.SOURCE


class NoEntrypoint(Failure):
    """Nothing says what the image is to start; `evidence["looked_for"]` lists where that could stand."""

    kind = "no_entrypoint"
    title = "Nothing says what the image starts"
    blame = Blame.SOURCE


class AmbiguousEntrypoint(Failure):
    """More than one thing could be what the image starts; `evidence["candidates"]` lists them."""

    kind = "ambiguous_entrypoint"
    title = "More than one thing could be started"
    blame = Blame.SOURCE


class UnsupportedEntrypoint(Failure):
    """A line of a Procfile needs a shell, and images have none; `evidence` has `file`, `line` and `text`."""

    kind = "unsupported_entrypoint"
    title = "The Procfile needs a shell"
    blame = Blame.SOURCE


class CompiledProject(Failure):
    """The project itself has extension modules to compile; `evidence` has `file` and what says so as `sign`."""

    kind = "compiled_project"
    title = "The project itself has to be compiled"
    blame = Blame.SOURCE
