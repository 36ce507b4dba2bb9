"""Bloomery's own version, as the command line and the HTTP API tell it."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version of the package that is installed."""
    try:
        return version("bloomery")
    except PackageNotFoundError:
        return "(not installed)"
