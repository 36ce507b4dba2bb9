"""Runtime images written by the daemon itself."""
