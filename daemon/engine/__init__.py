"""The container engine, behind a Protocol."""
