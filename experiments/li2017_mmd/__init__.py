"""Li et al. 2017: style losses as maximum mean discrepancies."""
