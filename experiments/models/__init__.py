"""Training of the generators that ship with nstjax."""
