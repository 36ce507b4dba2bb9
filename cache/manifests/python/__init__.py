"""Python projects: requirements, locks, what of the tree is the application and what it starts."""
