"""What control does by itself: mends what hosts did apart, takes back what nobody uses any more."""
