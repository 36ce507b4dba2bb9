"""Toolchain images: made, probed, offered."""
