"""The modes of the programs, a file each, and what several share."""
