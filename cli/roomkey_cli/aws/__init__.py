"""An environment's side in AWS: parameters, secrets, stack, endpoint."""
