//! The path of an event through a running route: a lane pulls batches, the plugin is called, effects and progress are
//! committed together, messages go out.
//!
//! Everything that touches the world comes in through the boundary traits of `esclusa-flow`: this crate knows no
//! routes.toml, no store, no sandbox and no AWS. Which routes there are, and when they start, change and stop, is the
//! program's business. `esclusa_flow::delivery` decides when an event may be settled; this crate carries its decisions out.
//!
//! It keeps these invariants of ARCHITECTURE.md:
//! - 2 and 3: a batch lives in `deliver` until it is settled, and nothing but a commit settles it. A lane that is dropped
//!   anywhere, or that ends early, drops its batch, which is then delivered again; a batch that was pulled ahead of another
//!   is committed after it, or not at all.
//! - 4: a pull waits for its share of the route's bytes ([`budget`]), and the batch keeps that share until it is settled.
//! - 5: a commit names the position before it. A lane whose lease is lost commits no more: it ends.
//! - 7: a route that drains pulls no more and finishes the batches in flight; one that stops drops them ([`route::Mode`]).
//! - 8: [`meter`] counts events as received when a batch is taken or dropped, and by their ends when its commit succeeds.

pub mod activity;
pub mod batch_filter;
pub mod breaker;
pub mod budget;
pub mod commit;
pub mod context;
mod deliver;
mod lane;
pub mod masked;
pub mod meter;
pub mod outbox;
pub mod output_meter;
pub mod route;
mod send_order;
pub mod serve;
mod tries;
