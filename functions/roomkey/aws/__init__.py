"""Read from AWS: two stores, and the client, credentials and transport under them."""
