"""The client side: what `bloomery` does before and after it talks to a daemon. Imports nothing heavy."""
