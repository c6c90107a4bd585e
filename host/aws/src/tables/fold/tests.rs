//! Folding, held against carrying out the actions one after the other.

use super::*;
use esclusa_flow::item::Value;
use proptest::prelude::*;

fn number(n: i64) -> Value {
    Value::Number(n.to_string())
}

fn key() -> Item {
    Item(vec![("pk".to_owned(), Value::Text("k".to_owned()))])
}

/// What the item and the skipped actions are after all steps, one by one.
fn one_by_one(steps: &[FoldStep], stored: Option<Item>) -> Result<(Option<Item>, Vec<usize>), CommitError> {
    let (mut now, mut skipped) = (stored, Vec::new());
    for step in steps {
        if let Some(guard) = &step.guard
            && !guard.condition.holds(now.as_ref())
        {
            match guard.otherwise {
                Otherwise::Rerun => return Err(CommitError::Conflict),
                Otherwise::Skip => skipped.push(step.action),
            }
            continue;
        }
        now = after(Some(&step.operation), now);
    }
    Ok((now, skipped))
}

fn after(operation: Option<&ItemOperation>, stored: Option<Item>) -> Option<Item> {
    match operation {
        None => stored,
        Some(ItemOperation::Put(item)) => Some(item.clone()),
        Some(ItemOperation::Update(changes)) => Some(apply(stored.unwrap_or_else(key), changes).unwrap()),
        Some(ItemOperation::Delete) => None,
    }
}

fn sorted(item: Option<Item>) -> Option<Item> {
    item.map(|mut item| {
        item.0.sort_by(|a, b| a.0.cmp(&b.0));
        item
    })
}

fn attribute() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned())]
}

fn item() -> impl Strategy<Value = Item> {
    proptest::collection::btree_map(attribute(), -3i64..3, 0..3).prop_map(|attributes| {
        key().0.into_iter().chain(attributes.into_iter().map(|(name, n)| (name, number(n)))).collect()
    })
}

fn operation() -> impl Strategy<Value = ItemOperation> {
    let change = prop_oneof![
        (-3i64..3).prop_map(|n| AttributeChange::Set(number(n))),
        (-3i64..3).prop_map(|n| AttributeChange::Add(n.to_string())),
        Just(AttributeChange::Remove),
    ];
    prop_oneof![
        item().prop_map(ItemOperation::Put),
        proptest::collection::vec((attribute(), change), 0..4).prop_map(ItemOperation::Update),
        Just(ItemOperation::Delete),
    ]
}

fn guard() -> impl Strategy<Value = Option<Guard>> {
    let comparison = prop_oneof![
        Just(Comparison::Exists),
        Just(Comparison::Absent),
        (-2i64..2).prop_map(|n| Comparison::Less(number(n))),
        (-2i64..2).prop_map(|n| Comparison::Equal(number(n))),
    ];
    let otherwise = prop_oneof![Just(Otherwise::Rerun), Just(Otherwise::Skip)];
    let guard = (attribute(), comparison, otherwise)
        .prop_map(|(name, c, otherwise)| Guard { condition: Condition(vec![(name, c)]), otherwise });
    proptest::option::weighted(0.4, guard)
}

fn steps() -> impl Strategy<Value = Vec<FoldStep>> {
    proptest::collection::vec((operation(), guard()), 1..6).prop_map(|all| {
        all.into_iter().enumerate().map(|(action, (operation, guard))| FoldStep { action, operation, guard }).collect()
    })
}

proptest! {
    #[test]
    fn one_write_does_what_all_actions_on_a_key_do(steps in steps(), stored in proptest::option::of(item())) {
        let expected = one_by_one(&steps, stored.clone());
        let decision = match fold(&steps, &key(), &mut StepBudget::of(STEPS)) {
            Ok(Some(decision)) => decision,
            Ok(None) => match resolve(&steps, &key(), stored.as_ref(), &mut StepBudget::of(STEPS)) {
                Ok(decision) => decision,
                Err(error) => { prop_assert_eq!(Err(error), expected); return Ok(()); }
            },
            // Decided without the stored item: carried out, it conflicts whatever that is, here or at an earlier guard.
            Err(error) => { prop_assert_eq!(Err(error), expected); return Ok(()); }
        };
        if let Some((condition, failing)) = &decision.condition
            && !condition.holds(stored.as_ref())
        {
            match failing {
                GuardFailure::Rerun => prop_assert_eq!(Err(CommitError::Conflict), expected),
                GuardFailure::Skip => prop_assert_eq!(Ok((stored, vec![0])), expected),
                GuardFailure::Reread => prop_assert!(false, "nothing changed since it was read"),
            }
            return Ok(());
        }
        if let Some(ItemOperation::Update(changes)) = &decision.operation {
            let mut names: Vec<_> = changes.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), changes.len(), "DynamoDB takes one change of an attribute");
        }
        let (item, skipped) = expected.unwrap();
        prop_assert_eq!(sorted(after(decision.operation.as_ref(), stored)), sorted(item));
        prop_assert_eq!(decision.skipped, skipped);
    }
}

#[test]
fn a_number_added_to_a_text_is_refused_by_its_own_index() {
    let set = ItemOperation::Update(vec![("a".to_owned(), AttributeChange::Set(Value::Text("x".to_owned())))]);
    let add = ItemOperation::Update(vec![("a".to_owned(), AttributeChange::Add("1".to_owned()))]);
    let steps =
        [set, add].into_iter().zip([4, 9]).map(|(operation, action)| FoldStep { action, operation, guard: None });
    let Err(CommitError::Refused(refused)) = fold(&steps.collect::<Vec<_>>(), &key(), &mut StepBudget::of(STEPS))
    else {
        panic!("not refused")
    };
    assert_eq!(refused[0].0, 9);
}

#[test]
fn updates_that_touch_ever_more_attributes_are_too_large_and_not_compared_for_ever() {
    let update = |round: usize| {
        let changes =
            (0..1_000).map(|n| (format!("a{}", round * 1_000 + n), AttributeChange::Add("1".to_owned()))).collect();
        FoldStep { action: round, operation: ItemOperation::Update(changes), guard: None }
    };
    let steps: Vec<_> = (0..100).map(update).collect();
    let mut work = StepBudget::of(STEPS);
    assert_eq!(fold(&steps, &key(), &mut work), Err(CommitError::TooLarge));
    let Err(CommitError::Refused(refused)) = resolve(&steps, &key(), None, &mut StepBudget::of(STEPS)) else {
        panic!("an item of so many attributes was made")
    };
    assert_eq!(refused[0].0, 0, "with its key, the first update makes more than a thousand");
    assert!(fold(&steps[..2], &key(), &mut StepBudget::of(STEPS)).is_ok());
}
