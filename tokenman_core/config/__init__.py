"""The configuration: `load` finds and reads it, `Settings` is what it says, all frozen."""
