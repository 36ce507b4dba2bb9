"""The server side: the HTTP API over the daemon's parts."""
