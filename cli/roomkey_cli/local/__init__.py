"""The local stack: the function behind a gateway of its own, with what stands in for AWS and for an issuer."""
