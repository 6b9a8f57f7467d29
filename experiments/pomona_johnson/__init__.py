"""The Pomona thesis (Barnes 2018), chapters 3 to 5: Johnson's network and the thesis's changes to it."""
