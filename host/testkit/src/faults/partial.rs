//! A batch of which some entries fail: they are cut from the request, and put into the answer.

use serde_json::{Map, Value, json};

/// A request without the entries that fail.
pub(crate) struct PartialBatch {
    action: String,
    request: Value,
    code: &'static str,
    /// Index and entry, ascending; with the table's name for `BatchWriteItem`.
    failed: Vec<(String, usize, Value)>,
}

impl PartialBatch {
    /// Takes `entries` out of the JSON of a batch.
    pub(crate) fn new(action: &str, body: &[u8], entries: &[usize], code: &'static str) -> Self {
        let mut request: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut failed = Vec::new();
        for (name, list) in lists(action, &mut request) {
            let all = std::mem::take(list);
            for (index, entry) in all.into_iter().enumerate() {
                if entries.contains(&index) {
                    failed.push((name.clone(), index, entry));
                } else {
                    list.push(entry);
                }
            }
        }
        PartialBatch { action: action.to_owned(), request, code, failed }
    }

    /// The request without those entries; `None` if none is left.
    pub(crate) fn request(&mut self) -> Option<Vec<u8>> {
        if let Some(tables) = self.request.get_mut("RequestItems").and_then(Value::as_object_mut) {
            tables.retain(|_, list| list.as_array().is_some_and(|list| !list.is_empty()));
        }
        let left: usize = lists(&self.action, &mut self.request).into_iter().map(|(_, list)| list.len()).sum();
        (left > 0).then(|| self.request.to_string().into_bytes())
    }

    /// The server's answer with the failed entries.
    pub(crate) fn answer(&self, answer: &[u8]) -> Vec<u8> {
        let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        for (table, index, entry) in &self.failed {
            match self.action.as_str() {
                "PutRecords" => {
                    let records = array(&mut answer, "Records");
                    let failed = json!({ "ErrorCode": self.code, "ErrorMessage": "injected" });
                    records.insert((*index).min(records.len()), failed);
                }
                "BatchWriteItem" => {
                    let tables = object(&mut answer, "UnprocessedItems");
                    if let Value::Array(list) = tables.entry(table).or_insert_with(|| json!([])) {
                        list.push(entry.clone());
                    }
                }
                _ => {
                    array(&mut answer, "Successful");
                    let id = entry.get("Id").cloned().unwrap_or_default();
                    let failed = json!({ "Id": id, "Code": self.code, "SenderFault": false, "Message": "injected" });
                    array(&mut answer, "Failed").push(failed);
                }
            }
        }
        if self.action == "PutRecords" {
            let count = answer.get("FailedRecordCount").and_then(Value::as_u64).unwrap_or_default();
            object_of(&mut answer).insert("FailedRecordCount".to_owned(), json!(count + self.failed.len() as u64));
        }
        answer.to_string().into_bytes()
    }
}

/// The lists of entries of a batch, with the name of the table if the action has a list for each.
fn lists<'a>(action: &str, request: &'a mut Value) -> Vec<(String, &'a mut Vec<Value>)> {
    let lists: Vec<(String, &mut Value)> = match action {
        "BatchWriteItem" => request
            .get_mut("RequestItems")
            .and_then(Value::as_object_mut)
            .map(|tables| tables.iter_mut().map(|(name, list)| (name.clone(), list)).collect())
            .unwrap_or_default(),
        "PutRecords" => request.get_mut("Records").map(|list| (String::new(), list)).into_iter().collect(),
        _ => request.get_mut("Entries").map(|list| (String::new(), list)).into_iter().collect(),
    };
    lists.into_iter().filter_map(|(name, list)| Some((name, list.as_array_mut()?))).collect()
}

fn object_of(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().unwrap()
}

fn object<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    object_of(object_of(value).entry(name).or_insert_with(|| json!({})))
}

fn array<'a>(value: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let slot = object_of(value).entry(name).or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    slot.as_array_mut().unwrap()
}
