//! The tools of a Quilt data catalog: what it is, and what lies in the caller's S3 buckets.

mod buckets;
mod catalog;

use std::sync::Arc;

use super::{Effect, NoArguments, Progress, Tool};
use crate::{aws::Aws, config::FetchUrl, egress::Egress};

/// The tools of this room, for the catalog at `catalog`.
pub fn tools(aws: &Arc<Aws>, egress: &Arc<Egress>, catalog: Option<&FetchUrl>) -> Vec<Tool> {
    let (list, objects) = (Arc::clone(aws), Arc::clone(aws));
    let (egress, catalog) = (Arc::clone(egress), catalog.cloned());
    vec![
        Tool::new(
            "catalog_info",
            "About the catalog",
            "Says which Quilt catalog this server is configured for: its URL, its registry, its region. The same for everybody.",
            Effect::Read,
            move |NoArguments {}, _: Progress| catalog::info(Arc::clone(&egress), catalog.clone()),
        ),
        Tool::new(
            "bucket_list",
            "List buckets",
            "Lists the S3 buckets that your AWS role may see.",
            Effect::Read,
            move |NoArguments {}, progress: Progress| buckets::list(Arc::clone(&list), progress),
        ),
        Tool::new(
            "bucket_objects_list",
            "List objects of a bucket",
            "Lists objects of an S3 bucket, in the order of their keys. For more than were returned, call again with next_continuation_token.",
            Effect::Read,
            move |input: buckets::ObjectsQuery, progress: Progress| {
                buckets::objects_list(Arc::clone(&objects), input, progress)
            },
        ),
    ]
}
