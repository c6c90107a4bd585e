//! Samples: generated, and where `ESCLUSA_SAMPLES` names a directory with `orders.jsonl` and
//! `http-requests.jsonl`, real ones as well.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Orders as JSON lines: generated, some with negative quantity; and the real ones, if there are any.
pub(crate) fn orders() -> Vec<(&'static str, String)> {
    let mut random = 7u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let lines: String = (0..2000)
        .map(|i| {
            let quantity = i64::try_from(next(40)).unwrap() - 4;
            let (day, item) = (1 + next(5), next(60));
            json!({
                "order_id": format!("{}-{i}", 536_365 + i / 7), "order_date": format!("2010-12-{day:02}T08:26:00Z"),
                "item_id": format!("item-{item}"), "quantity": quantity, "unit_price": format!("{}.{:02}", next(20), next(100)),
                "country": "United Kingdom", "description": "WHITE HANGING \"HEART\" T-LIGHT HOLDER ♥",
            })
            .to_string()
                + "\n"
        })
        .collect();
    let mut all = vec![("generated", lines)];
    all.extend(real("orders.jsonl").map(|text| ("real", text)));
    all
}

/// Web requests as JSON lines.
pub(crate) fn requests() -> Vec<(&'static str, String)> {
    let lines: String = (0..2500)
        .map(|i| {
            json!({
                "path": format!("/p/{}", i % 97), "method": "GET", "status": 200, "bytes": i * 31,
                "referrer": "http://example.com/?q=ü", "user_agent": "Mozilla/5.0 (X11)", "ip": "192.0.2.1",
                "timestamp": format!("2015-05-17T10:{:02}:{:02}.{:03}Z", i / 60 % 60, i % 60, i % 1000),
            })
            .to_string()
                + "\n"
        })
        .collect();
    let mut all = vec![("generated", lines)];
    all.extend(real("http-requests.jsonl").map(|text| ("real", text)));
    all
}

fn real(name: &str) -> Option<String> {
    let directory = PathBuf::from(std::env::var_os("ESCLUSA_SAMPLES")?);
    Some(std::fs::read_to_string(directory.join(name)).unwrap_or_else(|e| panic!("ESCLUSA_SAMPLES: {name}: {e}")))
}

/// Sum of quantities and number of orders by day and item, computed without the router.
pub(crate) fn totals(orders: &str) -> BTreeMap<(String, String), (i64, i64)> {
    let mut totals = BTreeMap::new();
    for line in orders.lines() {
        let order: Value = serde_json::from_str(line).unwrap();
        let day = order["order_date"].as_str().unwrap().split('T').next().unwrap().to_owned();
        let total: &mut (i64, i64) = totals.entry((day, order["item_id"].as_str().unwrap().to_owned())).or_default();
        total.0 += order["quantity"].as_i64().unwrap();
        total.1 += 1;
    }
    totals
}

/// The same from the items of the table `totals`.
pub(crate) fn totals_in(items: &[Value]) -> BTreeMap<(String, String), (i64, i64)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let total = |item: &Value| (item["quantity"].as_i64().unwrap(), item["orders"].as_i64().unwrap());
    items.iter().map(|item| ((text(&item["order_date"]), text(&item["item_number"])), total(item))).collect()
}
