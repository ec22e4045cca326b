"""What talks to the operating system: whole files, quiet consoles."""
