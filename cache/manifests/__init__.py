"""Readers of dependency manifests, one package for each ecosystem; they run nothing."""
