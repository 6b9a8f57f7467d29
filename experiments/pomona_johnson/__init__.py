"""Thesis (report 004), chapters 3 to 5: Johnson's network and what the thesis changes of it."""
