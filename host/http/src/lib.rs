//! What every HTTP listener has: connections, request bodies, answers, errors, and the limits of their work. It knows no
//! routes, and of the paths only those of health, which are served when there are too many connections.

pub mod answer_budget;
pub mod api_error;
pub mod bodies;
pub mod connections;
pub mod decoding;
pub mod work_limits;
