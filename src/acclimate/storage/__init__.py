"""What is kept on disk: arrays that survive a kill, features, and result rows."""
