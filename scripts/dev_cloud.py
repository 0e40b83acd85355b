"""An AWS to develop against: moto with two accounts, each with roles and a bucket, and a JWT secret.

It checks signatures and permissions as AWS does: a role may read its own account's bucket only, and Rolecall's user may
read the secret and assume roles.

Run as a program, it prints one JSON line that describes the world it made, and serves it until its standard input
ends: whoever started it holds the other end, so it never outlives them.
"""

import json
import logging
import secrets
import sys
import urllib.request

import boto3
from moto.server import ThreadedMotoServer

REGION = "us-east-1"
PEOPLE = [
    {
        "name": "alice",
        "account": "111111111111",
        "roles": ["QuiltAlice", "team/QuiltAliceReader"],
        "bucket": "alice-genomics",
        "objects": {
            "README.md": "# Alice's genomes\n",
            "samples/a.fastq": "@SEQ_ID\nGATTACA\n",
            "samples/b.fastq": "@SEQ_ID\nTACCAGA\n",
        },
    },
    {
        "name": "bob",
        "account": "222222222222",
        "roles": ["QuiltBob"],
        "bucket": "bob-microscopy",
        "objects": {
            "README.md": "# Bob's images\n",
            "plates/plate-1.csv": "well,intensity\nA1,0.7\n",
        },
    },
]
ASSUME = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def policy(*statements: dict) -> str:
    """An IAM policy that allows these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | one for one in statements]})


def client(service: str, endpoint: str, credentials: dict | None = None):
    """A boto3 client of the moto server, as the given assumed role or as the server's own account."""
    given = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test", "SessionToken": None}
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def seed_person(endpoint: str, person: dict) -> dict:
    """Makes a person's roles and bucket in their own account, and says where they are."""
    bootstrap = f"arn:aws:iam::{person['account']}:role/bootstrap"
    credentials = client("sts", endpoint).assume_role(RoleArn=bootstrap, RoleSessionName="seed")["Credentials"]
    iam = client("iam", endpoint, credentials)
    roles = []
    for role in person["roles"]:
        path, name = role.rpartition("/")[0], role.rpartition("/")[2]
        made = iam.create_role(
            RoleName=name,
            Path=f"/{path}/" if path else "/",
            AssumeRolePolicyDocument=policy({"Principal": {"AWS": "*"}, "Action": ASSUME}),
        )
        iam.put_role_policy(
            RoleName=name,
            PolicyName="own-bucket",
            PolicyDocument=policy(
                {"Action": "s3:ListAllMyBuckets", "Resource": "*"},
                {"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": f"arn:aws:s3:::{person['bucket']}*"},
            ),
        )
        roles.append(made["Role"]["Arn"])
    s3 = client("s3", endpoint, credentials)
    s3.create_bucket(Bucket=person["bucket"])
    for key, body in person["objects"].items():
        s3.put_object(Bucket=person["bucket"], Key=key, Body=body.encode())
    return {
        "name": person["name"],
        "account": person["account"],
        "roles": roles,
        "bucket": person["bucket"],
        "keys": sorted(person["objects"]),
    }


def seed_server(endpoint: str) -> dict:
    """Makes the user that Rolecall runs as, and gives its access key."""
    iam = client("iam", endpoint)
    iam.create_user(UserName="rolecall")
    iam.put_user_policy(
        UserName="rolecall",
        PolicyName="rolecall",
        PolicyDocument=policy({"Action": [*ASSUME, "secretsmanager:*"], "Resource": "*"}),
    )
    key = iam.create_access_key(UserName="rolecall")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def enforce(endpoint: str) -> None:
    """Lets moto check every request from now on. Until then it believes everyone."""
    order = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(order).close()


def start() -> tuple[ThreadedMotoServer, dict]:
    """Starts moto on a free loopback port and seeds it. Gives the server and the world's description."""
    # A line for each request says nothing to whoever runs this.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    secret = client("secretsmanager", endpoint).create_secret(
        Name="rolecall/jwt", SecretString=secrets.token_urlsafe(48)
    )
    world = {
        "endpoint": endpoint,
        "region": REGION,
        "jwt_secret": secret["ARN"],
        "people": [seed_person(endpoint, person) for person in PEOPLE],
        "credentials": seed_server(endpoint),
    }
    enforce(endpoint)
    return server, world


def environment(world: dict) -> dict:
    """The variables with which an AWS SDK talks to this world and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": world["endpoint"],
        "AWS_REGION": world["region"],
        **world["credentials"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def configuration(world: dict) -> dict:
    """A configuration of Rolecall for this world."""
    return {
        "auth": {
            "issuers": [
                {
                    "issuer": "quilt-frontend",
                    "audience": "quilt-mcp-server",
                    "hs256": {"$secret": world["jwt_secret"]},
                }
            ]
        },
        "roles": {"allow": [f"arn:aws:iam::{person['account']}:role/*" for person in world["people"]]},
    }


def main() -> None:
    server, world = start()
    print(json.dumps(world), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
