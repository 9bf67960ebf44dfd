"""`mocked_aws.py ORDER`: a call to AWS that moto answers."""

from __future__ import annotations

import sys

import boto3
from common import enable, told
from moto import mock_aws

if sys.argv[1] == "cachy first":
    enable()
with mock_aws():
    enable()
    account = boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"]
told(account=account)
