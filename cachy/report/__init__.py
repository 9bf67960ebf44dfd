"""What cachy tells people: lines for the terminal."""
