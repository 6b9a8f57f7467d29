"""All presets of nstjax transfer on one photograph and one painting."""
