"""What the networks of both papers are built of."""
