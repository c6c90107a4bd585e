//! Tests of policies.

use super::*;

#[test]
fn a_route_gets_what_it_uses_and_nothing_else() {
    let policy = policy(&[
        Use::KinesisRead { stream: "clicks".into(), fan_out: true },
        Use::Leases { table: "esclusa-leases".into() },
        Use::SqsRead { queue: "https://sqs.eu-west-1.amazonaws.com/111122223333/jobs.fifo".into() },
        Use::SqsRead { queue: "jobs".into() },
        Use::DynamodbStream { table: "Orders".into() },
        Use::Table { name: "Totals".into(), indexes: vec!["by-day".into()] },
        Use::Dedup { table: "esclusa-marks".into() },
        Use::Answers { table: "esclusa-marks".into() },
        Use::Positions { table: "esclusa-marks".into() },
        Use::ObjectsWrite { bucket: "lake".into(), prefix: "bookings/".into() },
        Use::ObjectsRead { bucket: "rates".into(), prefix: String::new() },
        Use::KinesisWrite { stream: "arn:aws:kinesis:us-east-1:111122223333:stream/out".into() },
        Use::SqsWrite { queue: "jobs".into() },
        Use::SnsPublish { topic: "arn:aws:sns:us-east-1:111122223333:low-stock".into() },
        Use::Sms,
        Use::SesSend { from: "Shop <shop@example.com>".into() },
    ]);
    let golden: Value = serde_json::from_str(include_str!("policy.json")).unwrap();
    assert_eq!(policy, golden, "if this is meant, write it to src/iam/policy.json: {policy:#}");
}

#[test]
fn objects_are_those_whose_keys_begin_with_the_prefix() {
    let resource = |prefix: &str| {
        let policy = policy(&[Use::ObjectsRead { bucket: "lake".into(), prefix: prefix.into() }]);
        policy["Statement"][1]["Resource"][0].as_str().unwrap().to_owned()
    };
    // A store has its prefix right in front of the path: `raw-a.csv`.
    assert_eq!(resource("raw-"), "arn:aws:s3:::lake/raw-*");
    assert_eq!(resource("raw/"), "arn:aws:s3:::lake/raw/*");
    assert_eq!(resource(""), "arn:aws:s3:::lake/*");
}

#[test]
fn uses_of_a_kind_share_a_statement() {
    let table = |name: &str| Use::Table { name: name.to_owned(), indexes: vec![] };
    let policy = policy(&[table("b"), table("a"), table("b")]);
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
    assert_eq!(policy["Statement"][0]["Resource"].as_array().unwrap().len(), 2);
}
