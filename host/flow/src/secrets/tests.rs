//! Tests of secrets.

use super::*;
use crate::effect::{Action, DeleteItem, Effect};
use crate::grants::Grants;
use crate::index::CallIndex;
use crate::item::Item;
use crate::verdict::MESSAGE;
use crate::{call_output::EventOutcome, call_output::FailureKind};
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

const VALUE: &str = "sk_live/ \"Ünlück\"\\?&=1";

fn secrets() -> Secrets {
    Secrets::new([VALUE.to_owned()])
}

fn mask(text: impl Into<String>) -> String {
    secrets().mask(text.into())
}

#[test]
fn a_value_is_hidden_in_every_usual_form_and_what_is_around_it_stays() {
    let python = r#"sk_live/ \"\u00dcnl\u00fcck\"\\?&=1"#;
    let forms = [
        VALUE.to_owned(),
        serde_json::to_string(VALUE).unwrap(),
        format!("\"{python}\""),
        format!("{VALUE:?}"),
        "sk_live%2F%20%22%C3%9Cnl%C3%BCck%22%5C%3F%26%3D1".to_owned(),
        "sk_live%2f+%22%c3%9cnl%c3%bcck%22%5c%3f%26%3d1".to_owned(),
        "sk_live/%20%22%C3%9Cnl%C3%BCck%22%5C?&=1".to_owned(),
        hex::encode(VALUE),
        hex::encode_upper(VALUE),
    ];
    for form in forms {
        let masked = mask(format!("key={form};end"));
        let quotes = masked.replace('"', "");
        assert_eq!(quotes, "key=***;end", "{form}");
    }
}

#[test]
fn base64_hides_a_value_wherever_it_stands_in_the_whole() {
    for before in 0..7 {
        for after in 0..4 {
            let whole = format!("{}{VALUE}{}", "u".repeat(before), "p".repeat(after));
            for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                let masked = mask(encoded.clone());
                assert!(masked.contains(MASK), "{whole}: {encoded}");
                assert!(masked.len() <= before * 4 / 3 + after * 4 / 3 + MASK.len() + 8, "{whole}: {masked}");
            }
        }
    }
}

#[test]
fn lines_of_a_value_are_hidden_alone_and_short_values_are_not() {
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n-----END KEY-----\n";
    let secrets = Secrets::new([pem.to_owned(), "short".to_owned(), "1234567".to_owned(), "12345678".to_owned()]);
    assert_eq!(secrets.mask("x MIIEvQIBADANBg y".into()), "x *** y");
    assert_eq!(secrets.mask(format!("{pem:?}")), "\"***\"");
    assert_eq!(secrets.mask("short 1234567 ab".into()), "short 1234567 ab");
    assert_eq!(secrets.mask("012345678".into()), "0***");
    assert!(Secrets::new(["short".to_owned()]).is_empty());
    assert!(Secrets::new([String::new()]).is_empty());
}

#[test]
fn long_and_many_values_have_a_bounded_cost() {
    let long = "abcdefgh".repeat(1 << 12);
    let secrets = Secrets::new([long.clone()]);
    assert!(secrets.is_empty(), "more than all values of a route may have");
    let line = "x".repeat(LONGEST + 1);
    let secrets = Secrets::new([format!("{line}\nsecond-line")]);
    assert_eq!(secrets.mask(format!("{line} second-line")), "***x ***");
    assert_eq!(secrets.reach(0), LONGEST);
    let many = Secrets::new((0..10_000).map(|n| format!("value-{n:08}")));
    assert_eq!(many.mask("value-00000000".into()), MASK);
    assert_eq!(many.mask("value-00009999".into()), "value-00009999");
}

#[test]
fn every_text_of_an_error_is_masked() {
    let secrets = secrets();
    let text = || format!("a {VALUE} b");
    let failure = CallFailure {
        backtrace: Some(text()),
        logs: vec![text(), "plain".to_owned()],
        ..*CallFailure::new(FailureKind::Trap, text())
    };
    let throttled = Fault::Throttled { reason: text(), after: std::time::Duration::ZERO };
    let shown = [
        format!("{:?}", secrets.mask_call_error(CallError::Failed(Box::new(failure)))),
        format!("{:?}", secrets.mask_call_error(CallError::Retry(text()))),
        format!("{:?}", secrets.mask_call_error(CallError::Halt(text()))),
        format!("{:?}", secrets.mask_call_error(CallError::Host(Fault::Transient(text())))),
        format!("{:?}", secrets.mask_commit_error(CommitError::Refused(vec![(3, text())]))),
        format!("{:?}", secrets.mask_commit_error(CommitError::Fault(throttled))),
        format!("{:?}", secrets.mask_send_error(SendError::Failed(Fault::Permanent(text())))),
        format!("{:?}", secrets.mask_fault(Fault::Refused { code: "c", reason: text() })),
        format!("{:?}", secrets.mask_fault(Fault::Bug(text()))),
        format!("{:?}", secrets.mask_fault(Fault::LeaseLost(text()))),
    ];
    for shown in shown {
        assert!(shown.contains("a *** b") && !shown.contains("sk_live"), "{shown}");
    }
    let outcome = |disposition| EventOutcome { event: CallIndex(0), disposition };
    let outcomes = vec![outcome(Disposition::Reject(text())), outcome(Disposition::Skip(text()))];
    let masked = secrets.mask_output(CallOutput { outcomes, ..CallOutput::default() });
    let expected = ["a *** b"; 2].map(str::to_owned);
    let [reject, skip] = expected;
    let found: Vec<_> = masked.outcomes.into_iter().map(|outcome| outcome.disposition).collect();
    assert_eq!(found, [Disposition::Reject(reject), Disposition::Skip(skip)]);
    assert!(!format!("{secrets:?}").contains("sk_live"));
}

proptest! {
    #[test]
    fn whatever_is_around_a_value_it_is_hidden(before in ".{0,20}", value in "[!-~ü]{8,40}", after in ".{0,20}") {
        let secrets = Secrets::new([value.clone()]);
        let whole = format!("{before}{value}{after}");
        let masked = secrets.mask(whole.clone());
        prop_assert!(!masked.contains(&value), "{}", masked);
        let json = serde_json::to_string(&whole).unwrap();
        let hidden = serde_json::to_string(&value).unwrap();
        prop_assert!(!secrets.mask(json).contains(hidden.trim_matches('"')));
    }
}

/// A text that names a secret, as a message quotes it, and cut at every place.
#[test]
fn of_a_secret_that_a_cut_went_through_fewer_than_four_bytes_stay() {
    let python = r#"sk_live/ \"\u00dcnl\u00fcck\"\\?&=1"#;
    for form in [VALUE, python, &format!("{VALUE:?}"), &hex::encode(VALUE), &VALUE.repeat(3)] {
        let text = format!("effect 0 names {form}, which is no table");
        for most in 0..text.len() {
            for after in ["", "\", which is not granted", ": is there a network?"] {
                let masked = mask(crate::verdict::cut(&text, most) + after);
                assert!(!masked.contains(form.trim_matches('"').get(..PART).unwrap()), "{most}: {masked}");
                let mark = masked.find(CUT).unwrap();
                assert!(
                    text.starts_with(masked[..mark].split(MASK).next().unwrap()) && masked[mark..].ends_with(after)
                );
            }
        }
    }
}

#[test]
fn a_mark_behind_no_secret_and_one_within_a_secret_change_nothing_else() {
    let secrets = Secrets::new(["abc…defghij".to_owned(), "xyzxyzxyz".to_owned()]);
    let mask = |text: &str| secrets.mask(text.to_owned());
    assert_eq!(mask("abc…defghij… xyz… xyzx… wxyz… xyzxyzxyzx…"), "***… xyz… ***… wxyz… ***…");
    assert_eq!(mask("abc…de…"), "abc…de…", "a part of a secret with the mark in it is not known");
    for same in ["", "…", "……", "abc", "…xyzxyzxy", "naïve…", "an ordinary list, which is cut…"] {
        assert_eq!(mask(same), same);
    }
    assert_eq!(secrets.mask_bytes(b"\xff\xe2\x80xyzx\xe2\x80\xa6\xe2"), &b"\xff\xe2\x80***\xe2\x80\xa6\xe2"[..]);
}

#[test]
fn a_plugin_that_puts_its_secret_at_the_end_of_what_a_message_holds_does_not_show_it() {
    for before in (MESSAGE - 200)..MESSAGE {
        let action =
            Action::Delete(DeleteItem { table: "t".repeat(before) + VALUE, key: Item::default(), guard: None });
        let effects = vec![Effect { cause: None, action }];
        let output = CallOutput { effects, ..CallOutput::default() };
        let failure = Grants::default().check(&output, 1).unwrap_err();
        let message = secrets().mask_failure(*failure).message;
        assert!(message.contains("ttt") && !message.contains("sk_l"), "{}", &message[message.len() - 40..]);
    }
}

#[test]
fn a_secret_that_holds_another_is_hidden_wherever_a_cut_went_through_it() {
    let whole = "postgres://app-user-1:hunter2-hunter2@db/orders";
    let secrets = Secrets::new([whole.to_owned(), "app-user-1".to_owned(), "hunter2-hunter2".to_owned()]);
    let text = format!("cannot reach {whole}, {whole}");
    for most in 0..=text.len() {
        let masked = secrets.mask(crate::verdict::cut(&text, most));
        assert!(!["post", "app-", "hunt", "@db"].iter().any(|part| masked.contains(part)), "{most}: {masked}");
        assert!("cannot reach ***, ***".starts_with(masked.split(['p', '…']).next().unwrap()), "{most}: {masked}");
    }
    assert_eq!(secrets.mask(text), "cannot reach ***, ***");
}
