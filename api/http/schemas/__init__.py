"""The shapes of what comes in and goes out; the same types validate, convert and make the OpenAPI document.

There is a module for each resource, as the handlers have them, and `texts` for what several share. What comes in is
strict: an unknown field or a value of another type is refused with its path. Requests mirror
`daemon.builds.BuildRequest` field by field, and a test holds that. What goes out are the daemon's own values
(`daemon.builds.Build`, `daemon.events.Event`, …) and the few shapes here that only HTTP has.
"""
