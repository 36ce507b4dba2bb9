"""How the fetch step reaches the world: the `[network]` settings, and where unset the daemon's own environment.

What works for the host then works for builds, without a setting. `"none"` turns off what the environment would give.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from daemon.config import NetworkConfig
from daemon.engine.engine import Network

OFF = "none"
CA_VARIABLES = ("CARGO_HTTP_CAINFO", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
"""What programs of a fetch step would heed, in the order in which they are asked."""
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)
"""Debian's and Alpine's, Fedora's, OpenBSD's and macOS's."""
_PROXIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "https_proxy": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        "http_proxy": ("http_proxy", "all_proxy", "ALL_PROXY"),
        "no_proxy": ("no_proxy", "NO_PROXY"),
    },
)
"""HTTP_PROXY is not among them: curl, and so cargo, ignores it, because a CGI request can set it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What the fetch step gets. Texts are empty and `ca_bundle` is None where there is none."""

    mode: Network
    ca_bundle: Path | None = None
    https_proxy: str = ""
    http_proxy: str = ""
    no_proxy: str = ""
    mirrors: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each setting that is set came from: `configuration`, a variable's name, `system`."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The proxies as variables; programs read the lower-case names."""
        proxies = {"https_proxy": self.https_proxy, "http_proxy": self.http_proxy, "no_proxy": self.no_proxy}
        return {name: value for name, value in proxies.items() if value}

    def described(self) -> dict[str, str]:
        """For the log: every setting and where it came from, without passwords."""
        shown = {
            "ca_bundle": str(self.ca_bundle or OFF),
            "https_proxy": without_password(self.https_proxy) or OFF,
            "http_proxy": without_password(self.http_proxy) or OFF,
            "no_proxy": self.no_proxy or OFF,
            **{f"mirrors.{name}": without_password(url) for name, url in self.mirrors.items()},
        }
        told = {
            name: f"{value} ({self.sources[name]})" if name in self.sources else value for name, value in shown.items()
        }
        return {"mode": str(self.mode), **told}


def resolve_network(
    config: NetworkConfig,
    environ: Mapping[str, str],
    *,
    system_bundles: Sequence[Path] = SYSTEM_BUNDLES,
    is_file: Callable[[Path], bool] = Path.is_file,
) -> NetworkSettings:
    """The configuration's settings, else the environment's; for the CA bundle, else the system's.

    A bundle that the configuration names is taken without a look at it; one of the environment has to exist.
    """
    sources: dict[str, str] = {}
    proxies: dict[str, str] = {}
    for name, variables in _PROXIES.items():
        configured: str = getattr(config, name)
        found = [("configuration", configured)] if configured else [(v, environ.get(v, "")) for v in variables]
        source, value = next(((source, value) for source, value in found if value), ("", ""))
        if value and value != OFF:
            proxies[name], sources[name] = value, source
    bundle = None
    if config.ca_bundle:
        candidates = [] if config.ca_bundle == OFF else [("configuration", Path(config.ca_bundle))]
    else:
        candidates = [(name, Path(environ[name])) for name in CA_VARIABLES if environ.get(name)]
        candidates += [("system", path) for path in system_bundles]
    for source, path in candidates:
        if source == "configuration" or is_file(path):
            bundle, sources["ca_bundle"] = path, source
            break
    return NetworkSettings(
        mode=Network(config.mode.value),
        ca_bundle=bundle,
        mirrors=dict(config.mirrors),
        sources=sources,
        **proxies,
    )


def without_password(url: str) -> str:
    """A URL that can be logged: who logs in where, and with what, is left out."""
    netloc = urlsplit(url if "//" in url else f"//{url}").netloc
    credentials, at, _ = netloc.rpartition("@")
    return url.replace(f"{credentials}@", "…@", 1) if at else url
