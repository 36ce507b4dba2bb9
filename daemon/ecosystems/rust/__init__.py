"""Rust: cargo cooks from stubs, compiles offline, and its messages are the evidence."""
