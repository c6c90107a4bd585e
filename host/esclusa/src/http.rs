//! What every HTTP listener of the router has: connections, request bodies, answers, errors, and the limits of their
//! work. The paths are those of `admin` and `listener`.

pub(crate) mod answer_budget;
pub(crate) mod api_error;
pub(crate) mod bodies;
pub(crate) mod connections;
pub(crate) mod decoding;
pub(crate) mod handover;
pub(crate) mod work_limits;
