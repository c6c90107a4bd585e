//! The store from outside: the conformance suites, and what only it promises.

mod embedded {
    pub mod schema;
    mod conformance;
    mod smoke;
}
