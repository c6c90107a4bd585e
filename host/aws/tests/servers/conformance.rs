//! The engine suite of the testkit on DynamoDB, with an embedded engine for the rest.

use super::building::{Make, clients, create};
use esclusa_testkit::conformance::{EngineUnderTest, TABLE, engine};

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
