"""Calls to AWS: two stores, and the client, credentials and transport that they use."""
