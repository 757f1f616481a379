//! Pages of lists.

use streamer_engine::store::PageQuery;
use streamer_protocol::{ErrorBody, ErrorCode};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;

/// What part of a list is wanted, if that can be given.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<PageQuery, ErrorBody> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(PageQuery { limit, cursor });
    }
    let error = ErrorBody::new(ErrorCode::ValidationError, "the limit is not valid");
    Err(error.at("limit", format!("between 1 and {LIMIT_MAX}")))
}
