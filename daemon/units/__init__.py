"""Compiled units of packages from outside: taken from what a cook left, kept, and put before cargo again.

Where cargo keeps a unit's files is its private business, and it changes: `layout.py` says what is asked of a layout,
the other modules know none. Nothing of members of a project, and nothing that first-party code could have touched,
gets here.
"""
