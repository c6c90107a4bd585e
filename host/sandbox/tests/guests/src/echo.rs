//! Answers a request with everything that it was, and sends its body on: `{"do": "echo-request"}`.

use crate::generated::exports::esclusa::router::handler::{Batch, Output, Reply};
use crate::{message, output};

/// A reply with id, attributes and body for each event, and a message with its body. A body that begins with `status:`
/// names the status, else it is 201. One that begins with `quiet:` is not sent on.
pub(crate) fn echo(batch: &Batch) -> Output {
    let text = |from: u32, length: u32| {
        let bytes = batch.bytes.get(from as usize..(from + length) as usize).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let mut done = output(Vec::new());
    for (event, columns) in batch.events.chunks(8).enumerate() {
        let [id, id_length, _, _, data, data_length, first, count] = *columns else { continue };
        let body = text(data, data_length);
        let mut said = format!("id={}\n", text(id, id_length));
        let attributes = batch.attributes.chunks(4).skip(first as usize).take(count as usize);
        for attribute in attributes {
            let [name, name_length, value, value_length] = *attribute else { continue };
            said += &format!("{}={}\n", text(name, name_length), text(value, value_length));
        }
        said += &format!("\n{body}");
        let status = body.strip_prefix("status:").and_then(|rest| rest.get(..3)?.parse().ok());
        if !body.starts_with("quiet:") {
            done.effects.push(message(Some(event as u32), body.into_bytes()));
        }
        done.replies.push(Reply {
            event: event as u32,
            status: status.unwrap_or(201),
            content_type: "text/plain".to_owned(),
            headers: vec![("x-echo".to_owned(), "yes".to_owned())],
            body: said.into_bytes(),
        });
    }
    done
}
