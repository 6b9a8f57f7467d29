"""The generators that ship with nstjax: how they were made."""
