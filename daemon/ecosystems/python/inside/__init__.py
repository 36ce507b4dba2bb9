"""Programs that run inside sandboxes, by the toolchain's own Python: the standard library alone, nothing of ours."""
