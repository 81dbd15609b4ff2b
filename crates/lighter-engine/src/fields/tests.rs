use super::*;
use std::collections::BTreeSet;

/// Every field of the API's create request, from the API's description (and a few of its older versions).
fn listed() -> BTreeSet<&'static str> {
    let list = include_str!("../../fields.txt");
    list.lines().filter_map(|line| line.split_once('\t')).map(|(name, _)| name).collect()
}

#[test]
fn every_field_of_the_api_has_a_decision() {
    let without: Vec<_> = listed().into_iter().filter(|name| find(name).is_none()).collect();
    assert!(without.is_empty(), "nothing is decided on {without:?}");
}

#[test]
fn every_decision_is_on_a_field_of_the_api_and_made_once() {
    let listed = listed();
    let mut seen = BTreeSet::new();
    for field in all() {
        let parts = field.parts.iter().map(|p| format!("{}.{p}", field.name));
        for name in std::iter::once(field.name.to_owned()).chain(parts) {
            assert!(listed.contains(name.as_str()), "{name} is no field");
            assert!(seen.insert(name.clone()), "{name} is decided on twice");
        }
    }
    assert_eq!(seen.len(), listed.len());
}

#[test]
fn what_is_left_out_or_ignored_has_a_reason() {
    for field in all() {
        for engine in ["linux", "memory"] {
            let (Decision::Warned(why)
            | Decision::Discarded(why)
            | Decision::Refused(why)
            | Decision::NotYet(why)
            | Decision::Ignored(why)) = field.decision(engine)
            else {
                continue;
            };
            assert!(why.len() > 4, "{} on {engine}", field.name);
        }
    }
}
