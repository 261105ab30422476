"""`roomkey`: the command line and the local stack. Never deployed."""
