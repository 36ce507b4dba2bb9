"""What can be wrong with a project of any language, one class per cause."""

from cache.errors import Blame, Failure


class NoManifest(Failure):
    """Where the request says the project is, no file says what it depends on: no `Cargo.toml`, and none of Python's."""

    kind = "no_manifest"
    title = "The source tree has no manifest"
    blame = Blame.SOURCE


class BadManifest(Failure):
    """A manifest or lock cannot be read, or says what cargo refuses; `evidence` has `file`, and `line` if known."""

    kind = "bad_manifest"
    title = "A manifest cannot be read"
    blame = Blame.SOURCE


class UnsupportedSetting(Failure):
    """Cargo configuration or toolchain file ask for what changes the build in a way that is not offered."""

    kind = "unsupported_setting"
    title = "A setting of the project is not supported"
    blame = Blame.SOURCE


class BadSettings(Failure):
    """`bloomery.toml` cannot be read; `evidence` has `file`, `key`, `value` and `expected`."""

    kind = "bad_settings"
    title = "bloomery.toml is not right"
    blame = Blame.SOURCE
