"""Which part is made of which: the daemon's objects, put together from a configuration, an open store and an engine.

`root` puts the whole together; `building` has what a build goes through, `verifying` what builds some again clean,
`serving` what HTTP shows. Nothing here runs; `api.server` does. Whoever wants to know what depends on what reads this.
"""
