//! What each tool needs of a token, as data.
//!
//! Owns the map from tools, those to come included, to the actions they need and to the arguments that name their
//! buckets. In comes a tool's name; out goes its [`Rule`], or none. The gate judges by it.

use serde_json::value::RawValue;

use super::{BucketName, bucket_name::NotABucket};

pub(super) const LIST: &str = "s3:ListBucket";
pub(super) const LIST_ALL: &str = "s3:ListAllMyBuckets";
pub(super) const GET: &str = "s3:GetObject";
pub(super) const PUT: &str = "s3:PutObject";
pub(super) const DELETE: &str = "s3:DeleteObject";

/// What Athena reads to know tables.
const CATALOG: &[&str] = &[
    "glue:GetDatabase",
    "glue:GetDatabases",
    "glue:GetTable",
    "glue:GetTables",
];
/// What it takes to run a query and to read its result.
const QUERY: &[&str] = &[
    "athena:StartQueryExecution",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "glue:GetDatabase",
    "glue:GetTable",
    "glue:GetPartitions",
];

/// What a tool needs of a token.
pub(super) struct Rule {
    pub(super) tools: &'static [&'static str],
    /// All of these actions.
    pub(super) needs: &'static [&'static str],
    pub(super) reach: Reach,
}

/// Which buckets a tool reaches.
pub(super) enum Reach {
    /// None; or, as `bucket_list`, those that it is left with when it has looked at the claims itself.
    Nothing,
    /// Those that these arguments name. One at least must be given.
    Arguments(&'static [Argument]),
    /// Nobody can say beforehand which.
    Any,
}

/// An argument that names buckets.
pub(super) enum Argument {
    /// One by name.
    Name(&'static str),
    /// One by the address of an object in it.
    Uri(&'static str),
    /// Several, by a list of addresses.
    Uris(&'static str),
}

impl Argument {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Name(name) | Self::Uri(name) | Self::Uris(name) => name,
        }
    }

    /// The buckets that a value of the argument names.
    pub(super) fn buckets(&self, value: &RawValue) -> Result<Vec<BucketName>, NotABucket> {
        let text = || serde_json::from_str::<String>(value.get()).map_err(|_| NotABucket);
        match self {
            Self::Name(_) => Ok(vec![BucketName::parse(&text()?)?]),
            Self::Uri(_) => Ok(vec![BucketName::of_uri(&text()?)?]),
            Self::Uris(_) => {
                let uris: Vec<String> =
                    serde_json::from_str(value.get()).map_err(|_| NotABucket)?;
                uris.iter().map(|uri| BucketName::of_uri(uri)).collect()
            }
        }
    }
}

use Argument::{Name, Uri, Uris};

/// Every tool, those to come included.
pub(super) const MAP: &[Rule] = &[
    Rule {
        tools: &[
            "whoami",
            "auth_status",
            "get_user_info",
            "get_user_permissions",
            "validate_bearer_token",
            "validate_bucket_access",
            "validate_tool_access",
            "assume_quilt_user_role",
            "get_current_quilt_role",
            "catalog_info",
        ],
        needs: &[],
        reach: Reach::Nothing,
    },
    Rule {
        tools: &["bucket_list"],
        needs: &[LIST_ALL],
        reach: Reach::Nothing,
    },
    Rule {
        tools: &["discover_permissions"],
        needs: &[LIST_ALL],
        reach: Reach::Any,
    },
    Rule {
        tools: &["bucket_objects_list"],
        needs: &[LIST],
        reach: Reach::Arguments(&[Name("bucket")]),
    },
    Rule {
        tools: &["check_bucket_access"],
        needs: &[LIST],
        reach: Reach::Arguments(&[Name("bucket_name")]),
    },
    Rule {
        tools: &[
            "bucket_object_info",
            "bucket_object_text",
            "bucket_object_link",
            "bucket_object_fetch",
        ],
        needs: &[GET],
        reach: Reach::Arguments(&[Uri("s3_uri")]),
    },
    Rule {
        tools: &["bucket_objects_put"],
        needs: &[PUT],
        reach: Reach::Arguments(&[Name("bucket")]),
    },
    Rule {
        tools: &["packages_list"],
        needs: &[LIST],
        reach: Reach::Arguments(&[Name("registry")]),
    },
    Rule {
        tools: &["package_browse", "package_diff"],
        needs: &[LIST, GET],
        reach: Reach::Arguments(&[Name("registry")]),
    },
    Rule {
        tools: &["package_create", "package_update"],
        needs: &[LIST, GET, PUT],
        reach: Reach::Arguments(&[Name("registry"), Uris("s3_uris")]),
    },
    Rule {
        tools: &["package_create_from_s3"],
        needs: &[LIST, GET, PUT],
        reach: Reach::Arguments(&[Name("registry"), Name("source_bucket")]),
    },
    Rule {
        tools: &["package_delete"],
        needs: &[LIST, DELETE],
        reach: Reach::Arguments(&[Name("registry")]),
    },
    Rule {
        tools: &["search_catalog"],
        needs: &[LIST],
        reach: Reach::Arguments(&[Name("bucket")]),
    },
    Rule {
        tools: &["search_suggest"],
        needs: &[LIST],
        reach: Reach::Any,
    },
    Rule {
        tools: &["search_explain"],
        needs: &[LIST],
        reach: Reach::Nothing,
    },
    Rule {
        tools: &[
            "athena_tables_list",
            "athena_table_schema",
            "athena_query_validate",
        ],
        needs: CATALOG,
        reach: Reach::Nothing,
    },
    Rule {
        tools: &["athena_query_execute"],
        needs: QUERY,
        reach: Reach::Any,
    },
];

/// What a tool needs; `None` if the map does not know it.
pub(super) fn rule(tool: &str) -> Option<&'static Rule> {
    MAP.iter().find(|rule| rule.tools.contains(&tool))
}
