"""The Pomona thesis (Barnes 2018), chapter 2: representations."""
