//! Single values: a node becomes a value of the type that its key takes, or a finding that says why it cannot.

use super::toml_tree::{TomlNode, TomlValue};
use super::units;
use crate::codes::Code;
use crate::nearest::nearest;
use crate::report::Finding;
use crate::shape::{KeySpec, ValueKind};
use std::time::Duration;

/// A converted value; `None`: the node could not be read, and that was reported before.
pub(crate) type Converted<T> = Result<Option<T>, Finding>;

/// A text.
pub(crate) fn text(key: &KeySpec, node: &TomlNode) -> Converted<String> {
    match &node.value {
        TomlValue::Text(text) => Ok(Some(text.text.clone())),
        TomlValue::Broken => Ok(None),
        _ => Err(wrong_type(key, node, "a text", &format!("put it in quotes: {} = \"…\"", key.name))),
    }
}

/// One of the words that the key takes.
pub(crate) fn choice(key: &KeySpec, node: &TomlNode) -> Converted<&'static str> {
    let ValueKind::Choice(words) = key.kind else { return Ok(None) };
    let Some(text) = text(key, node)? else { return Ok(None) };
    match words.iter().find(|word| **word == text) {
        Some(word) => Ok(Some(word)),
        None => {
            let message = format!("`{}` does not take this word", key.name);
            let meant = nearest(&text, words.iter().copied());
            let help = meant
                .map_or_else(|| format!("one of: {}", words.join(", ")), |word| format!("did you mean \"{word}\"?"));
            Err(Finding::error(Code::BAD_VALUE, node.span.clone(), message).help(help))
        }
    }
}

/// `true` or `false`.
pub(crate) fn boolean(key: &KeySpec, node: &TomlNode) -> Converted<bool> {
    match &node.value {
        TomlValue::Boolean(value) => Ok(Some(*value)),
        // Interpolation gives texts only, so an interpolated text is read as the value that it spells.
        TomlValue::Text(text) if text.interpolated => match text.text.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(bad_value(key, node, "true or false", "")),
        },
        TomlValue::Broken => Ok(None),
        _ => Err(wrong_type(key, node, "true or false", &format!("write {} = true, without quotes", key.name))),
    }
}

/// A whole number within the range that the key takes.
pub(crate) fn integer(key: &KeySpec, node: &TomlNode) -> Converted<i64> {
    let ValueKind::Integer { min, max } = key.kind else { return Ok(None) };
    let number = match &node.value {
        TomlValue::Integer(number) => *number,
        TomlValue::Text(text) if text.interpolated => {
            text.text.trim().parse().map_err(|_| bad_value(key, node, "a whole number", ""))?
        }
        TomlValue::Broken => return Ok(None),
        _ => return Err(wrong_type(key, node, "a whole number", &format!("write {} = N, without quotes", key.name))),
    };
    if (min..=max).contains(&number) {
        return Ok(Some(number));
    }
    let least =
        if max == i64::MAX { format!("it is at least {min}") } else { format!("it is between {min} and {max}") };
    Err(out_of_range(key, node).help(least))
}

/// A duration within the range that the key takes; the inner `None`: without limit.
pub(crate) fn duration(key: &KeySpec, node: &TomlNode) -> Converted<Option<Duration>> {
    let ValueKind::Duration { min, max, endless } = key.kind else { return Ok(None) };
    let text = match &node.value {
        TomlValue::Text(text) => text.text.trim(),
        TomlValue::Integer(-1) if endless => return Ok(Some(None)),
        // A number without a unit would be seconds to some and milliseconds to others.
        TomlValue::Integer(number) => {
            let help = format!("a duration has a unit: {} = \"{number}s\", or ms, m, h, d", key.name);
            return Err(wrong_type(key, node, "a duration", &help));
        }
        TomlValue::Broken => return Ok(None),
        _ => return Err(wrong_type(key, node, "a duration", &format!("write {} = \"10s\"", key.name))),
    };
    if endless && text == "-1" {
        return Ok(Some(None));
    }
    let Some(duration) = units::duration(text) else {
        return Err(bad_value(key, node, "a duration", "a whole number and a unit: ms, s, m, h, d, as in \"10s\""));
    };
    let (least, most) = (units::duration(min).unwrap_or_default(), units::duration(max).unwrap_or(Duration::MAX));
    if (least..=most).contains(&duration) {
        return Ok(Some(Some(duration)));
    }
    let endless = if endless { ", or -1" } else { "" };
    Err(out_of_range(key, node).help(format!("it is between \"{min}\" and \"{max}\"{endless}")))
}

/// A size in bytes within the range that the key takes.
pub(crate) fn size(key: &KeySpec, node: &TomlNode) -> Converted<usize> {
    let ValueKind::Size { min, max } = key.kind else { return Ok(None) };
    let bytes = match &node.value {
        TomlValue::Text(text) => units::size(text.text.trim()),
        TomlValue::Integer(number) => u64::try_from(*number).ok(),
        TomlValue::Broken => return Ok(None),
        _ => return Err(wrong_type(key, node, "a size", &format!("write {} = \"64MiB\"", key.name))),
    };
    let Some(bytes) = bytes else {
        let help = "a whole number and a unit: B, KB, MB, GB, KiB, MiB, GiB, as in \"64MiB\"";
        return Err(bad_value(key, node, "a size", help));
    };
    let (least, most) = (units::size(min).unwrap_or_default(), units::size(max).unwrap_or(u64::MAX));
    match usize::try_from(bytes) {
        Ok(size) if (least..=most).contains(&bytes) => Ok(Some(size)),
        _ => Err(out_of_range(key, node).help(format!("it is between \"{min}\" and \"{max}\""))),
    }
}

/// A point in time, milliseconds since the Unix epoch.
pub(crate) fn timestamp(key: &KeySpec, node: &TomlNode) -> Converted<u64> {
    let text = match &node.value {
        TomlValue::Text(text) => text.text.as_str(),
        TomlValue::Datetime(text) => text,
        TomlValue::Broken => return Ok(None),
        _ => return Err(wrong_type(key, node, "a time", &format!("write {} = \"2026-01-31T12:00:00Z\"", key.name))),
    };
    let help = "date, time and zone, from 1970 on, as in \"2026-01-31T12:00:00Z\"";
    units::timestamp(text).map(Some).ok_or_else(|| bad_value(key, node, "a time", help))
}

/// A value of another type than the key takes.
pub(crate) fn wrong_type(key: &KeySpec, node: &TomlNode, wanted: &str, help: &str) -> Finding {
    let message = format!("`{}` is {wanted}, and this is {}", key.name, node.kind());
    Finding::error(Code::WRONG_TYPE, node.span.clone(), message).help(help)
}

fn bad_value(key: &KeySpec, node: &TomlNode, wanted: &str, help: &str) -> Finding {
    let from =
        if matches!(&node.value, TomlValue::Text(text) if text.interpolated) { " after interpolation" } else { "" };
    let message = format!("`{}` cannot be read as {wanted}{from}", key.name);
    Finding::error(Code::BAD_VALUE, node.span.clone(), message)
        .help_maybe(Some(help.to_owned()).filter(|h| !h.is_empty()))
}

fn out_of_range(key: &KeySpec, node: &TomlNode) -> Finding {
    Finding::error(Code::OUT_OF_RANGE, node.span.clone(), format!("`{}` is out of range", key.name))
}
