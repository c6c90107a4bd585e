//! routes.toml as its users see it: files in, plans or messages out.

mod cases;
