"""The files of `cachy demo`: a small provider on loopback, and the script that asks it."""
