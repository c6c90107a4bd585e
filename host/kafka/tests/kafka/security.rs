//! Brokers that ask for a user over TLS.

use crate::cluster::{Cluster, unique};
use crate::routes::{Kept, Route, lane, settings, take};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::{KafkaConnection, KafkaSecurity};
use esclusa_kafka::check;
use esclusa_kafka::reader::KafkaSourceSettings;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A connection as the user `esclusa`; `None`: Apache Kafka is not there, and the test says so.
fn secure(mechanism: &str, password: &str, ca: &str) -> Option<(Cluster, KafkaConnection)> {
    let cluster = Cluster::real()?;
    let mut connection = cluster.connection(&[]);
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join(ca);
    connection.bootstrap_servers = vec![std::env::var("KAFKA_SECURE").unwrap()];
    connection.security = KafkaSecurity {
        protocol: Some("SASL_SSL".into()),
        mechanism: Some(mechanism.into()),
        username: Some("esclusa".into()),
        password: Some(password.into()),
        ca: Some(ca.display().to_string()),
        ..KafkaSecurity::default()
    };
    Some((cluster, connection))
}

const ITS_OWN: &str = "scripts/servers/kafka/cert.pem";
const ANOTHER: &str = "host/esclusa/tests/scenarios/tls/first-cert.pem";

#[tokio::test(flavor = "multi_thread")]
async fn the_right_user_reads_over_tls() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let Some((cluster, connection)) = secure(mechanism, "secret", ITS_OWN) else { return };
        let topic = cluster.topic(1).await;
        cluster.put(&topic, 0, ["0", "1"]);
        let found = check::topics(&connection, std::slice::from_ref(&topic), Duration::from_secs(30)).await.unwrap();
        assert_eq!(found[0].partitions, 1);
        let settings = KafkaSourceSettings { connection, ..settings(&cluster, &topic, &unique("group")) };
        let route = Route::new(settings, &Kept::default(), BTreeMap::new());
        let mut source = route.open().await;
        assert_eq!(take(&route, &mut *lane(&mut *source).await, 2).await, ["0", "1"], "{mechanism}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_what_to_check() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let Some((_cluster, connection)) = secure(mechanism, "a wrong one", ITS_OWN) else { return };
        let answer = check::topics(&connection, &["t".into()], Duration::from_secs(30)).await;
        let Err(Fault::Refused { code, reason }) = answer else { panic!("{mechanism}: {answer:?}") };
        assert_eq!(code, "kafka.denied");
        assert!(reason.contains("security") && !reason.contains("a wrong one"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_another_certificate_is_not_believed() {
    let Some((_cluster, connection)) = secure("PLAIN", "secret", ANOTHER) else { return };
    let answer = check::topics(&connection, &["t".into()], Duration::from_secs(30)).await;
    let Err(Fault::Refused { code, reason }) = answer else { panic!("{answer:?}") };
    assert_eq!(code, "kafka.denied");
    assert!(reason.contains("certificate") && reason.contains("security of the section"), "{reason}");
}
