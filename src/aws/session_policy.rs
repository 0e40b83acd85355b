//! What an assumed role is narrowed to.
//!
//! Owns the inline session policy of calls that only read: a tool that reads cannot write, whatever its role may do.
//! In come the operator's mode and what a call needs; out goes the policy to send with `AssumeRole`, or none.
//! Source: IAM user guide, "Session policies".

use crate::{config::SessionPolicyMode, context::Access};

/// Reads of S3, Athena and Glue, and the decryption that they take. Each action is named: a wildcard such as `s3:Get*`
/// holds actions that hand out further credentials (`s3:GetDataAccess`) or passwords (`glue:GetConnection`).
const READ: &str = include_str!("read.policy.json");

/// The policy of a call's credentials. `None` leaves them all that the role may do.
pub(super) fn session_policy(mode: SessionPolicyMode, access: Access) -> Option<&'static str> {
    match (mode, access) {
        (SessionPolicyMode::Tool, Access::Read) => Some(READ),
        (SessionPolicyMode::Tool, Access::Write) | (SessionPolicyMode::Off, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reading_policy_reads_and_fits_into_a_request() {
        // STS API reference, `AssumeRole`, `Policy`.
        assert!(READ.len() <= 2_048, "{}", READ.len());
        let policy: serde_json::Value = serde_json::from_str(READ).unwrap();
        let [statement] = &policy["Statement"].as_array().unwrap()[..] else {
            panic!("one statement: {policy}")
        };
        assert_eq!(statement["Effect"], "Allow");
        for action in statement["Action"].as_array().unwrap() {
            let (service, name) = action.as_str().unwrap().split_once(':').unwrap();
            assert!(!name.contains(['*', '?']), "{action}");
            let reads = match service {
                "s3" | "athena" | "glue" => ["Get", "List", "BatchGet", "Search"]
                    .iter()
                    .any(|verb| name.starts_with(verb)),
                "kms" => ["Decrypt", "DescribeKey"].contains(&name),
                _ => false,
            };
            assert!(reads, "{action}");
            assert!(
                !["GetDataAccess", "GetConnection", "GetConnections"].contains(&name),
                "{action} gives credentials away"
            );
        }
    }

    #[test]
    fn only_what_reads_is_narrowed_and_only_where_the_operator_wants_it() {
        assert_eq!(
            session_policy(SessionPolicyMode::Tool, Access::Read),
            Some(READ)
        );
        assert_eq!(session_policy(SessionPolicyMode::Tool, Access::Write), None);
        assert_eq!(session_policy(SessionPolicyMode::Off, Access::Read), None);
    }
}
