"""HTTP handlers, one module a resource."""
