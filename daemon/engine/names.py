"""How an engine splits an image reference."""


def repository_and_tag(reference: str) -> tuple[str, str]:
    """`host:5000/name:tag` as `("host:5000/name", "tag")`; the tag is `latest` where none is written."""
    slash = reference.rfind("/")
    colon = reference.rfind(":")
    if colon > slash:
        return reference[:colon], reference[colon + 1 :]
    return reference, "latest"
