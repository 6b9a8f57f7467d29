"""The future work of the Stanford poster: a real-time method compared with Gatys's."""
