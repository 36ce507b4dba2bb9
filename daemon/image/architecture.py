"""The machines that images are made for: what OCI, ELF and Debian call them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """One machine under its three names."""

    name: str
    """OCI's and Go's, such as `amd64`."""
    machine: str
    """elf.h's."""
    triplet: str
    """Debian's name for its library directories."""

    @property
    def default_directories(self) -> tuple[str, ...]:
        """Where Debian's loader looks when it does not say so itself."""
        return (f"/lib/{self.triplet}", f"/usr/lib/{self.triplet}", "/lib", "/usr/lib")


AMD64 = Architecture("amd64", "EM_X86_64", "x86_64-linux-gnu")
