//! The store from outside: the conformance suites, and what only it promises.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod embedded {
    mod backup;
    mod bounded;
    mod conformance;
    mod crash;
    mod damage;
    mod everything;
    mod expiry;
    mod files;
    mod full;
    mod hops;
    mod kept_answers;
    mod model;
    mod objects;
    mod pages;
    mod power;
    mod quotas;
    mod salvage;
    mod schema;
    mod smoke;
    mod sources;
    mod store;
    mod upgrade;
}
