//! Tests of the proxy in front of a server that says what it was asked.

use super::*;
use tokio::io::AsyncReadExt;

/// A server that answers with the body of the request.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (_, body) = http::read(&mut client, true).await.unwrap();
            let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            client.write_all(&[chunked.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()).await.unwrap();
        }
    });
    url
}

async fn ask(url: &str, action: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: S_1.{action}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn calls_fail_as_told_and_the_others_pass() {
    let faults = FaultProxy::before(&echo().await).await;
    faults.fail("GetRecords", 1..2, InjectedFailure::Error { status: 400, code: "ExpiredIteratorException" });
    faults.fail("GetRecords", 2..3, InjectedFailure::LostAnswer);
    assert!(ask(faults.url(), "GetRecords", "{\"a\":1}").await.ends_with("\r\n\r\n{\"a\":1}"));
    assert!(ask(faults.url(), "Other", "{}").await.starts_with("HTTP/1.1 200"));
    let error = ask(faults.url(), "GetRecords", "{}").await;
    assert!(error.starts_with("HTTP/1.1 400") && error.contains("\"__type\":\"ExpiredIteratorException\""), "{error}");
    assert_eq!(ask(faults.url(), "GetRecords", "{}").await, "");
    assert_eq!((faults.calls("GetRecords"), faults.calls("Other")), (3, 1));
}

#[tokio::test]
async fn entries_of_a_batch_fail_and_never_reach_the_server() {
    let faults = FaultProxy::before(&echo().await).await;
    let failure = |entries: &[usize]| InjectedFailure::Partial { entries: entries.to_vec(), code: "InternalFailure" };
    faults.fail("PutRecords", 0..1, failure(&[1]));
    let answer = ask(faults.url(), "PutRecords", r#"{"Records":[{"x":0},{"x":1},{"x":2}]}"#).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let failed = serde_json::json!({"ErrorCode": "InternalFailure", "ErrorMessage": "injected"});
    assert_eq!(body, serde_json::json!({"FailedRecordCount": 1, "Records": [{"x": 0}, failed, {"x": 2}]}));
    faults.fail("BatchWriteItem", 0..1, failure(&[0]));
    let answer = ask(faults.url(), "BatchWriteItem", r#"{"RequestItems":{"t":[{"PutRequest":1}]}}"#).await;
    assert!(answer.ends_with(r#"{"UnprocessedItems":{"t":[{"PutRequest":1}]}}"#), "{answer}");
    faults.fail("DeleteMessageBatch", 0..1, failure(&[0]));
    let answer = ask(faults.url(), "DeleteMessageBatch", r#"{"Entries":[{"Id":"a"}]}"#).await;
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["Failed"][0]["Code"], &body["Failed"][0]["Id"]), (&"InternalFailure".into(), &"a".into()));
}
