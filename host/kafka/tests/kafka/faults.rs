//! Brokers that go, and what an operator is told.

use crate::cluster::{Cluster, PATIENCE, unique};
use crate::routes::{Kept, LIMIT, Route, batch, lane, settings, take};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaSecurity;
use esclusa_flow::source::Pull;
use esclusa_kafka::{check, codes};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_and_comes_back_loses_nothing_and_is_reported_meanwhile() {
    let cluster = Cluster::mock(1);
    let topic = cluster.topic(1).await;
    cluster.put(&topic, 0, ["0"]);
    let mut settings = settings(&cluster, &topic, &unique("group"));
    settings.connection.client.insert("reconnect.backoff.max.ms".into(), "200".into());
    let route = Route::new(settings, &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *first, 1).await, ["0"]);
    let mock = cluster.mock.as_ref().unwrap();
    mock.broker_down(1).unwrap();
    let reported = timeout(PATIENCE, async {
        loop {
            match first.pull(LIMIT).await {
                Err(Fault::Transient(why)) => return why,
                Err(fault) => panic!("{fault}"),
                Ok(_) => first.ready().await,
            }
        }
    });
    let why = reported.await.expect("the lane says that no broker answers");
    assert!(why.contains("bootstrap_servers"), "{why}");
    mock.broker_up(1).unwrap();
    cluster.put(&topic, 0, ["1"]);
    let mut values = Vec::new();
    while values.is_empty() {
        match first.pull(LIMIT).await {
            Ok(Pull::Batch(pulled)) => values.extend(crate::routes::payloads(&pulled)),
            Err(Fault::LeaseLost(_)) => {
                drop(first);
                first = lane(&mut *source).await;
            }
            _ => first.ready().await,
        }
    }
    assert!(values.ends_with(&["1".to_owned()]), "{values:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_with_its_code() {
    let Some(cluster) = Cluster::real() else { return };
    let topic = unique("missing");
    let route = Route::reading(&cluster, &topic);
    let Err(Fault::Refused { code, reason }) = route.reader.open().await else { panic!("it opens") };
    assert_eq!(code, codes::NO_TOPIC);
    assert!(reason.contains(&topic), "{reason}");
    cluster.create(&topic, 1, &[]).await;
    cluster.put(&topic, 0, ["0"]);
    let mut source = route.open().await;
    let pulled = batch(&mut *lane(&mut *source).await, LIMIT).await;
    assert_eq!(pulled.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_goes_while_it_is_read_is_reported_until_it_is_there_again() {
    let Some(cluster) = Cluster::real() else { return };
    let topic = cluster.topic(1).await;
    // More than it has afterwards: an offset that the group is told of while the topic goes would skip what is new.
    cluster.put(&topic, 0, ["0", "1", "2"]);
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *first, 3).await, ["0", "1", "2"]);
    cluster.delete(&topic).await;
    timeout(PATIENCE, async {
        while !matches!(first.pull(LIMIT).await, Err(Fault::LeaseLost(_))) {
            first.ready().await;
        }
    })
    .await
    .expect("the lane ends");
    drop(first);
    // The client tells of it once. The source says so whenever it is asked for a lane.
    for _ in 0..3 {
        match timeout(PATIENCE, source.next_lane()).await.expect("the source says why") {
            Err(Fault::Refused { code, .. }) => assert_eq!(code, codes::NO_TOPIC),
            Err(fault) => panic!("{fault}"),
            Ok(_) => panic!("a lane of a topic that is gone"),
        }
    }
    cluster.create(&topic, 1, &[]).await;
    cluster.put(&topic, 0, ["again"]);
    let again = async {
        loop {
            let Ok(Some(mut lane)) = source.next_lane().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            loop {
                match lane.pull(LIMIT).await {
                    Ok(Pull::Batch(pulled)) => return crate::routes::payloads(&pulled),
                    Err(Fault::LeaseLost(_)) => break,
                    _ => lane.ready().await,
                }
            }
        }
    };
    let values = timeout(PATIENCE, again).await.expect("it is read again");
    assert_eq!(values, ["again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_may_not_be_read_any_more_is_reported_until_it_may() {
    let cluster = Cluster::mock(1);
    let topic = cluster.topic(1).await;
    cluster.put(&topic, 0, ["0"]);
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *first, 1).await, ["0"]);
    let mock = cluster.mock.as_ref().unwrap();
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    mock.request_errors(RDKafkaApiKey::Fetch, &vec![denied; 10_000]);
    cluster.put(&topic, 0, ["1"]);
    // The client tells of it once. The lane says so at each pull, once it is known that there is a record.
    let mut reported = 0;
    timeout(PATIENCE, async {
        while reported < 3 {
            match first.pull(LIMIT).await {
                Err(Fault::Refused { code, .. }) => {
                    assert_eq!(code, codes::DENIED);
                    reported += 1;
                }
                Err(fault) => panic!("{fault}"),
                Ok(_) => {
                    reported = 0;
                    first.ready().await;
                }
            }
        }
    })
    .await
    .expect("each pull says why");
    mock.clear_request_errors(RDKafkaApiKey::Fetch);
    let values = timeout(PATIENCE, async {
        loop {
            if let Ok(Pull::Batch(pulled)) = first.pull(LIMIT).await {
                return crate::routes::payloads(&pulled);
            }
            first.ready().await;
        }
    });
    assert_eq!(values.await.expect("it is read"), ["1"]);
    assert!(matches!(first.pull(LIMIT).await, Ok(Pull::Empty { .. })), "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_listens_is_reported_with_the_remedy() {
    let cluster = Cluster::any();
    let mut connection = cluster.connection(&[]);
    connection.bootstrap_servers = vec!["127.0.0.1:1".into()];
    let answer = check::topics(&connection, &["t".into()], Duration::from_secs(2)).await;
    let Err(Fault::Transient(reason)) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("127.0.0.1:1") && reason.contains("bootstrap_servers"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_librdkafka_refuses_are_named() {
    let cluster = Cluster::any();
    let connection = cluster.connection(&[("fetch.max.bites", "1")]);
    let answer = check::topics(&connection, &["t".into()], Duration::from_secs(2)).await;
    let Err(Fault::Permanent(reason)) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("fetch.max.bites"), "{reason}");
    let mut connection = cluster.connection(&[]);
    connection.security = KafkaSecurity {
        protocol: Some("SASL_SSL".into()),
        mechanism: Some("SCRAM-SHA-512".into()),
        username: Some("u".into()),
        password: Some("secret".into()),
        ..KafkaSecurity::default()
    };
    let answer = check::topics(&connection, &["t".into()], Duration::from_secs(3)).await;
    let Err(fault) = answer else { panic!("a broker without TLS is not reached with it") };
    assert!(!fault.to_string().contains("secret"), "{fault}");
}
