"""The labels that make an image of the engine a toolchain image."""

NAME = "bloomery.toolchain"
"""The name under which it is offered."""
PACKAGES = "bloomery.packages"
"""Debian packages that were added with `--with`, separated by spaces."""
REFERENCE = "bloomery.reference"
"""The tag that it was made under: images committed from its containers inherit labels, but not this tag."""
RECIPE = "bloomery.recipe"
RECIPE_VERSION = "1"


def of(name: str, reference: str, packages: tuple[str, ...]) -> dict[str, str]:
    """All labels of one toolchain image."""
    return {
        NAME: name,
        PACKAGES: " ".join(packages),
        REFERENCE: reference,
        RECIPE: RECIPE_VERSION,
    }
