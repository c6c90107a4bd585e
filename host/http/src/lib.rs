//! What every HTTP listener has: connections, request bodies, answers, errors, and the limits of their work. It knows no
//! routes, and of the paths only those of health, which are served when there are too many connections.
//!
//! Futures and work are boxed here when much generic code hangs on them: it is compiled in this crate then, once and for speed, and not again
//! in each crate that awaits it.

pub mod answer_budget;
pub mod api_error;
pub mod bodies;
pub mod connections;
pub mod decoding;
pub mod work_limits;
