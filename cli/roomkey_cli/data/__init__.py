"""Files that ship with the command: IAM documents, example policies with their test cases, and JSON schemas."""

from pathlib import Path

DATA = Path(__file__).parent
IAM_DOCUMENTS = DATA / "iam"
POLICIES = DATA / "policies"
OPEN_POLICY = POLICIES / "open.json"
"""Allow everything to everyone: the policy of `roomkey run`."""
