"""Thesis (report 004), chapter 2: representations."""
