"""What is already built, and how we know it: trees, keys, records. Pure logic and SQLite; no HTTP, no engine."""
