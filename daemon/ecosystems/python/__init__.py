"""Python: packages are locked, fetched and installed by uv; nothing of the sources is compiled."""
