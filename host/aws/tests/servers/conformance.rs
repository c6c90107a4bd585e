//! The engine suite of the testkit on DynamoDB, with an embedded engine for the rest.

use super::building::{Make, clients, create};
use super::objects::lake;
use esclusa_testkit::conformance::{EngineUnderTest, ObjectsUnderTest, STORE, TABLE, engine, object_reads};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_with_a_local_engine_is_an_engine() {
    let clients = clients().await;
    let runtime = tokio::runtime::Handle::current();
    engine(|| {
        let table = tokio::task::block_in_place(|| runtime.block_on(create(&clients)));
        let bench = Make::default().over(&clients, TABLE, &table);
        EngineUnderTest { engine: bench.engine, one_store: false, keep: Box::new((bench.local, bench.dir)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_an_object_store() {
    let clients = clients().await;
    let runtime = tokio::runtime::Handle::current();
    object_reads(|| {
        let lake = tokio::task::block_in_place(|| runtime.block_on(lake(&clients, STORE)));
        ObjectsUnderTest { engine: Arc::new(lake.engine), keep: Box::new(lake.dir) }
    })
    .await;
}
