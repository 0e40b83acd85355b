//! The tools of a Quilt data catalog: what lies in the caller's S3 buckets.

mod buckets;

use std::sync::Arc;

use super::{Effect, NoArguments, Progress, Tool};
use crate::aws::Aws;

/// The tools of this room.
pub fn tools(aws: &Arc<Aws>) -> Vec<Tool> {
    let (list, objects) = (Arc::clone(aws), Arc::clone(aws));
    vec![
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
