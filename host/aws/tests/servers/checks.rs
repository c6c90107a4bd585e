//! The connection check names the resource and the remedy.

use super::building::{clients, create, unique};
use super::faulty::{self, Fate, error};
use esclusa_aws::check;
use esclusa_aws::client::Clients;
use esclusa_aws::objects::S3Store;
use esclusa_aws::tables::DynamoTable;
use esclusa_flow::settings::ServiceLocation;

#[tokio::test]
async fn what_cannot_be_reached_is_named_with_its_remedy() {
    let clients = clients().await;
    let there = create(&clients).await;
    assert_eq!(check::table(&clients, "requests", &there).await, Ok(()));
    let missing = DynamoTable { name: "HttpRequests".to_owned(), place: ServiceLocation::default() };
    let expected = "table HttpRequests does not exist in us-east-1: create it, or correct [table.requests] name";
    assert_eq!(check::table(&clients, "requests", &missing).await, Err(expected.to_owned()));
    let bucket =
        S3Store { bucket: unique("none"), prefix: String::new(), place: ServiceLocation::default(), path_style: true };
    let why = check::store(&clients, "lake", &bucket).await.unwrap_err();
    assert!(why.contains("does not exist in us-east-1: create it, or correct [objects.lake] bucket"), "{why}");
    clients.s3(&ServiceLocation::default(), true).create_bucket().bucket(&bucket.bucket).send().await.unwrap();
    assert_eq!(check::store(&clients, "lake", &bucket).await, Ok(()));
    let (place, setting) = (ServiceLocation::default(), "[output.dead] bucket");
    assert_eq!(check::bucket(&clients, &place, true, &bucket.bucket, setting).await, Ok(()));
    let why = check::bucket(&clients, &place, true, &unique("none"), setting).await.unwrap_err();
    assert!(why.contains("create it, or correct [output.dead] bucket"), "{why}");
}

#[tokio::test]
async fn an_account_that_may_not_send_mails_is_named() {
    let setting = "[output.mails]";
    let clients = clients().await;
    assert_eq!(check::mail(&clients, &ServiceLocation::default(), setting).await, Ok(()));
    for (status, answer, expected) in [
        (200, r#"{"SendingEnabled": false}"#, "SES in us-east-1 sends no mails for this account"),
        (403, r#"{"__type": "AccessDeniedException", "message": "no"}"#, "allow ses:GetAccount"),
    ] {
        let (faulty, _) = faulty::clients(move |_| Fate::Answer(status, answer.to_owned())).await;
        let why = check::mail(&faulty, &ServiceLocation::default(), setting).await.unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn credentials_permissions_and_the_network_are_told_apart() {
    let table = DynamoTable { name: "HttpRequests".to_owned(), place: ServiceLocation::default() };
    for (code, remedy) in [
        ("UnrecognizedClientException", "the credentials are not valid"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong (RequestTimeTooSkewed): set it"),
        ("AccessDeniedException", "allow dynamodb:DescribeTable"),
    ] {
        let (faulty, _) = faulty::clients(move |_| error(code)).await;
        let why = check::table(&faulty, "requests", &table).await.unwrap_err();
        assert!(why.contains("table HttpRequests") && why.contains(remedy), "{why}");
    }
    // Bound, so that nobody else gets the port, and nobody listens there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let place = ServiceLocation {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
    };
    let nobody = Clients::load(&place).await;
    let table = DynamoTable { place, ..table };
    let why = check::table(&nobody, "requests", &table).await.unwrap_err();
    assert!(why.contains("table HttpRequests") && why.contains("is there a network"), "{why}");
}

#[tokio::test]
async fn credentials_or_a_region_that_are_not_set_are_no_matter_of_the_network() {
    let table = DynamoTable { name: "HttpRequests".to_owned(), place: ServiceLocation::default() };
    let bare = || aws_config::SdkConfig::builder().behavior_version(aws_config::BehaviorVersion::latest());
    for config in [bare().build(), bare().region(aws_config::Region::new("us-east-1")).build()] {
        let why = check::table(&Clients::from_config(config), "requests", &table).await.unwrap_err();
        assert!(why.contains("table HttpRequests") && why.contains("are region and credentials set"), "{why}");
        assert!(!why.contains("network") && !why.contains('\n'), "{why}");
    }
}
