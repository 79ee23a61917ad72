"""An author's project on the laptop: scaffold, check, store metadata and the pytest plugin."""
