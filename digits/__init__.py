"""Spoken digits made by arithmetic: data that needs no download."""
