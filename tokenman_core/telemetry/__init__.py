"""What TokenMan says of itself."""
