//! What routes.toml says of a route and of what it uses, checked, in the words of the crates that carry it out: each
//! thing is defined here once. Reading and checking the file is not done here.

mod limits;
mod route;

pub use limits::{Instances, Limits};
pub use route::{Delivery, Route};
