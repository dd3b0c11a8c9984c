"""What runs on hosts and talks to AWS: secrets in, audit records out.

Imported where a stack file asks for it only: boto3 belongs to the extra `aws`.
"""
