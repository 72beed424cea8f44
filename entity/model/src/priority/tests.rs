use proptest::prelude::*;

use super::*;

type Made = (bool, u8, usize, bool, Option<usize>, i32);

/// Methods; hosts (0: none, 1: plain, 2: with a wildcard); headers; whether the path is a regular expression;
/// the length of the path; `regex_priority`.
fn made() -> impl Strategy<Value = Made> {
    let path = proptest::option::of(1_usize..40);
    let regex_priority = prop_oneof![any::<i32>(), -3..10_i32, Just(4096), Just(8192)];
    (any::<bool>(), 0_u8..3, 0_usize..4, any::<bool>(), path, regex_priority)
}

fn route((methods, hosts, headers, _, path, regex_priority): Made) -> Route {
    let one = |text: &str| Some(vec![text.to_owned()]);
    let named = |n: usize| (format!("x-{n}"), vec!["v".to_owned()]);
    Route {
        methods: methods.then(|| vec!["GET".into()]),
        hosts: [None, one("a.b"), one("*.b")][usize::from(hosts)].clone(),
        headers: (headers > 0).then(|| (0..headers).map(named).collect()),
        paths: path.and_then(|_| one("/")),
        regex_priority,
        ..Route::default()
    }
}

fn columns(made: Made) -> Columns {
    let base = Priority::of(&route(made));
    match made {
        (.., true, Some(_), regex_priority) => base.under_regex(regex_priority),
        (.., path, _) => base.under_prefix(path.unwrap_or(0)),
    }
}

/// The columns of the documents, the weightiest first.
fn documented((methods, hosts, headers, regex, path, regex_priority): Made) -> impl Ord {
    let kinds = [methods, hosts > 0, headers > 0, path.is_some()];
    let kinds = kinds.into_iter().filter(|kind| *kind).count();
    let regex = regex && path.is_some();
    let within = if regex { i64::from(regex_priority) } else { path.unwrap_or(0) as i64 };
    (kinds, hosts == 1, headers, regex, within)
}

/// The priority by the steps of Kong's program, with the numbers that it uses: floating point, of which a
/// shift takes the 32 lowest bits and of whose result it makes a signed number.
fn computed((methods, hosts, headers, regex, path, regex_priority): Made) -> u64 {
    let shift = |value: f64, by: u32| {
        let lowest = (value as i64).rem_euclid(1 << 32);
        let shifted = (lowest << (by % 32)).rem_euclid(1 << 32);
        if shifted >= 1 << 31 { (shifted - (1 << 32)) as f64 } else { shifted as f64 }
    };
    let kinds = [methods, hosts > 0, headers > 0, path.is_some()].into_iter().filter(|kind| *kind).count();
    let regex = regex && path.is_some();
    let numbers = [
        shift(kinds as f64, 61),
        shift(headers as f64, 52),
        shift(if regex { regex_priority.into() } else { 0.0 }, 19),
        if regex { 0.0 } else { path.unwrap_or(0) as f64 },
    ];
    let flags = u64::from(hosts == 1) << 60 | u64::from(regex) << 51;
    numbers.into_iter().fold(flags, |all, number| all | (number as i64).cast_unsigned())
}

proptest! {
    #[test]
    fn strict_number_orders_as_the_documented_columns_do(one in made(), other in made()) {
        let number = |made| columns(made).priority(RouterOrder::Strict);
        prop_assert_eq!(number(one).cmp(&number(other)), documented(one).cmp(&documented(other)));
    }

    #[test]
    fn kong3_number_is_the_one_that_kong_computes(made in made()) {
        prop_assert_eq!(columns(made).priority(RouterOrder::Kong3), computed(made));
    }

    #[test]
    fn columns_are_those_of_the_route(made in made()) {
        let (_, hosts, headers, regex, path, regex_priority) = made;
        let columns = columns(made);
        prop_assert_eq!((columns.exact_hosts, usize::from(columns.headers)), (hosts == 1, headers));
        let regex = regex && path.is_some();
        let length = path.map_or(0, |length| u32::try_from(length).unwrap());
        prop_assert_eq!(columns.regex_priority, regex.then_some(regex_priority));
        prop_assert_eq!(columns.prefix_length, (!regex).then_some(length));
    }
}

fn prefix(attributes: u8, exact_hosts: bool, headers: u8, length: u32) -> Columns {
    let prefix_length = Some(length);
    Columns { attributes, exact_hosts, headers, regex: false, regex_priority: None, prefix_length }
}

fn regex(attributes: u8, exact_hosts: bool, headers: u8, priority: i32) -> Columns {
    let regex_priority = Some(priority);
    Columns { attributes, exact_hosts, headers, regex: true, regex_priority, prefix_length: None }
}

/// Each row has a better and a worse path in the order of Kong's program, and whether the documents agree.
#[test]
fn kong3_order_in_a_table() {
    let table = [
        ("four kinds come first", prefix(4, false, 1, 1), prefix(3, true, 1, 9), true),
        ("plain hosts before kinds", prefix(1, true, 0, 0), prefix(3, false, 2, 9), false),
        ("a regular expression before kinds", regex(1, false, 0, 0), prefix(3, false, 0, 9), false),
        ("a regular expression before headers", regex(2, false, 0, 0), prefix(2, false, 200, 9), false),
        ("plain hosts before a regular expression", prefix(2, true, 0, 1), regex(2, false, 0, 9), true),
        ("kinds before headers", prefix(3, false, 1, 1), prefix(2, false, 255, 9), true),
        ("two of regex_priority are one header more", regex(2, false, 1, 4), regex(2, false, 2, 0), false),
        ("headers before the length", prefix(2, false, 2, 1), prefix(2, false, 1, 9), true),
        ("the longer prefix", prefix(2, false, 1, 9), prefix(2, false, 1, 8), true),
        ("4096 is negative, which is great", regex(1, false, 0, 4096), prefix(3, true, 2, 9), false),
        ("8192 counts as nothing", regex(1, false, 0, 1), regex(1, false, 0, 8192), false),
        ("-1 is greater than 1", regex(1, false, 0, -1), regex(1, false, 0, 1), false),
    ];
    for (what, better, worse, agree) in table {
        let prefers = |order| better.priority(order) > worse.priority(order);
        assert!(prefers(RouterOrder::Kong3), "{what}");
        assert_eq!(prefers(RouterOrder::Strict), agree, "{what}");
    }
    let equal = |one: Columns, other: Columns| {
        assert_eq!(one.priority(RouterOrder::Kong3), other.priority(RouterOrder::Kong3));
    };
    equal(regex(2, false, 1, 2), regex(2, false, 1, 3 & 2));
    equal(regex(2, false, 0, 2), regex(2, false, 1, 0));
    equal(regex(1, false, 0, 8192), regex(1, false, 0, 0));
}
