//! routes.toml as its users see it: files in, plans or messages out.

mod cases;
mod coverage;
mod documents;
mod mutations;
mod places;
mod schemas;
mod size;
