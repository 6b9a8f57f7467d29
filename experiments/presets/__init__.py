"""Every preset of nstjax transfer on one pair."""
