use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn silence(id: &str, start: i64, end: i64) -> Silence {
    Silence {
        id: id.to_owned(),
        matcher_sets: vec![vec![Matcher::new(MatchKind::Equal, "a", "b").unwrap()]],
        starts_at: at(start),
        ends_at: at(end),
        updated_at: at(0),
        created_by: "me".to_owned(),
        comment: "why".to_owned(),
        annotations: Labels::empty(),
    }
}

fn set(silences: &mut Silences, silence: Silence, now: i64) -> Result<String, Error> {
    let new_id = || format!("new-{now}");
    let changes = silences.plan_set(silence, new_id, Limits::default(), Mode::Fallback, at(now))?;
    let id = changes.last().unwrap().id.clone();
    changes.into_iter().for_each(|s| silences.apply(s));
    Ok(id)
}

#[test]
fn a_change_keeps_the_id_or_starts_anew() {
    let mut silences = Silences::default();
    assert_eq!(
        set(&mut silences, silence("", 5, 100), 10).unwrap(),
        "new-10"
    );
    assert_eq!(
        silences.get("new-10").unwrap().starts_at,
        at(10),
        "not in the past"
    );
    // A later end: the same silence.
    assert_eq!(
        set(&mut silences, silence("new-10", 10, 200), 20).unwrap(),
        "new-10"
    );
    // Another start of an active one: a new silence, and the old one ends.
    assert_eq!(
        set(&mut silences, silence("new-10", 50, 200), 30).unwrap(),
        "new-30"
    );
    assert_eq!(silences.get("new-10").unwrap().ends_at, at(30));
    assert_eq!(
        silences.get("new-30").unwrap().state(at(31)),
        State::Pending
    );
    assert_eq!(
        set(&mut silences, silence("nobody", 10, 200), 40),
        Err(Error::NotFound)
    );
}

#[test]
fn refuses() {
    let silences = Silences::default();
    let plan = |silence: Silence, limits| {
        silences
            .plan_set(silence, String::new, limits, Mode::Fallback, at(1))
            .map_err(|e| e.to_string())
            .unwrap_err()
    };
    let with = |sets: Vec<Vec<Matcher>>| Silence {
        matcher_sets: sets,
        ..silence("", 1, 2)
    };
    let m = |kind, name: &str, value: &str| Matcher::new(kind, name, value).unwrap();
    for (sets, error) in [
        (vec![], "invalid silence: at least one matcher required"),
        (
            vec![vec![m(MatchKind::Regexp, "a", ".*")]],
            "invalid silence: matcher set 0: at least one matcher must not match the empty string",
        ),
        (
            vec![vec![m(MatchKind::Equal, "", "x")]],
            "invalid silence: invalid label matcher 0 in set 0: invalid label name \"\"",
        ),
    ] {
        assert_eq!(plan(with(sets), Limits::default()), error);
    }
    let small = Limits {
        max_silence_size_bytes: 10,
        ..Limits::default()
    };
    assert!(plan(silence("", 1, 2), small).starts_with("silence exceeded maximum size: "));
}

#[test]
fn the_cache_follows_changes() {
    let mut silences = Silences::default();
    let labels = Labels::from_pairs([("a", "b")]);
    let mut cache = Matching::default();
    assert!(silences.muting(&labels, &mut cache, at(1)).is_empty());
    let id = set(&mut silences, silence("", 5, 100), 1).unwrap();
    assert!(
        silences.muting(&labels, &mut cache, at(2)).is_empty(),
        "pending"
    );
    assert_eq!(
        silences.muting(&labels, &mut cache, at(5)),
        std::slice::from_ref(&id)
    );
    let over = silences.plan_expire(&id, at(7)).unwrap().unwrap();
    silences.apply(over);
    assert!(silences.muting(&labels, &mut cache, at(8)).is_empty());
    assert_eq!(silences.remove_expired(Duration::from_secs(10), at(17)), 1);
    assert!(silences.is_empty());
}
