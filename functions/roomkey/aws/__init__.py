"""Read from AWS: the client, its transport and the two client."""
