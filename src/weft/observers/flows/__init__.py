"""Connections of judged ports: ended when they are over, remembered for a while, and told."""
