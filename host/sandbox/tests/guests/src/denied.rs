//! Calls that do what they may, and then something on a target that their route does not grant: `{"do": "denied-put"}`.

use crate::generated::esclusa::router::effects::{
    Action, Change, DeleteItem, Effect, PutItem, PutObject, Send, UpdateItem,
};
use crate::generated::esclusa::router::items::{Item, Value};
use crate::generated::exports::esclusa::router::handler::Output;
use crate::{message, output};

/// The table, object store and output that is not granted.
const TARGET: &str = "target";

/// Carries out an order; `None`: it is none of these.
pub(crate) fn attack(order: &str) -> Option<Output> {
    let (table, key) = (TARGET.to_owned(), key());
    let action = match order {
        "denied-put" => Action::PutItem(PutItem { table, item: key, guard: None }),
        "denied-update" => {
            let changes = vec![("n".to_owned(), Change::Add("1".to_owned()))];
            Action::UpdateItem(UpdateItem { table, key, changes, guard: None })
        }
        "denied-delete" => Action::DeleteItem(DeleteItem { table, key, guard: None }),
        "denied-object" => Action::PutObject(PutObject {
            store: TARGET.to_owned(),
            path: "planted".to_owned(),
            content_type: "text/plain".to_owned(),
            bytes: b"planted".to_vec(),
        }),
        "denied-send" => Action::Send(Send {
            output: TARGET.to_owned(),
            key: None,
            data: b"planted".to_vec(),
            attributes: Vec::new(),
        }),
        _ => return None,
    };
    Some(output(vec![message(None, b"allowed".to_vec()), Effect { cause: None, action }]))
}

fn key() -> Item {
    vec![("pk".to_owned(), Value::Text("one".to_owned()))]
}
