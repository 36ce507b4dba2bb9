"""The proof of reuse: a sample of the builds is built again clean, behind the answers, and what differs is revoked."""
