"""Images leave the machine: a client for OCI registries that pushes what the store of blobs holds."""
