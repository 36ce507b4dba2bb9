"""What is particular to a language: images, commands, environment."""
