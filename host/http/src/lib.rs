//! What every HTTP listener has: connections, request bodies, answers, errors, and the limits of their work. It knows no
//! paths and no routes: those are in the program.

pub mod answer_budget;
pub mod api_error;
pub mod bodies;
pub mod connections;
pub mod decoding;
pub mod work_limits;
