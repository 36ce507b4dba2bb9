"""How steps that have a network reach the world, and what they are told for it: proxies, and whom to trust."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.ecosystems.step import Step
from daemon.engine.engine import Network

_CA_BUNDLE = "/tmp/ca.pem"  # noqa: S108 - the sandbox's own, in memory: nothing of it stays
_END_OF_BUNDLE = "END OF BUNDLE"
_TRUSTING = ("CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAccess:
    """From `[network]`, resolved at start."""

    network: Network = Network.BRIDGE
    ca_bundle: bytes = b""
    environment: Mapping[str, str] | None = None
    """Proxies, as `https_proxy` and the like."""

    def given(self, step: Step) -> Step:
        """The step with its way out in its script: an engine keeps what a sandbox is created with, in every image."""
        variables, lines = {**step.environment, **(self.environment or {})}, list[str]()
        if self.ca_bundle:
            bundle = self.ca_bundle.decode(errors="replace").removesuffix("\n")
            lines += [f"cat > {_CA_BUNDLE} << '{_END_OF_BUNDLE}'", bundle, _END_OF_BUNDLE]
            variables |= dict.fromkeys(_TRUSTING, _CA_BUNDLE)
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
        return replace(step, script="\n".join([*lines, step.script]))
