"""The console: a web page of the local stack."""
