"""Cargo's manifests and locks, read by us without running anything."""
