"""The governed body: read once into text slots, edited by stages, written back with every other byte as it was."""
