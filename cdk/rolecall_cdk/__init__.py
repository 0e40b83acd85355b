"""Rolecall on AWS as CDK constructs: `Rolecall` on Lambda, `RolecallService` on ECS, each with its inputs."""

from rolecall_cdk.function import Rolecall
from rolecall_cdk.inputs import RolecallInputs, RolecallServiceInputs
from rolecall_cdk.service import RolecallService

__all__ = ["Rolecall", "RolecallInputs", "RolecallService", "RolecallServiceInputs"]
