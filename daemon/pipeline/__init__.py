"""The stages of a build, one typed stage a file."""
