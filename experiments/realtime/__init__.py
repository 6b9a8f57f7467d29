"""The poster's future work (report 003): a real-time method compared with Gatys's."""
