use super::*;

#[test]
fn prints_as_go() {
    let s = |text: &str| Arg::from(text);
    let i = |value: i64| Arg::from(value);
    let f = |value: f64| Arg::from(value);
    let list = Arg::new("[]string", Kind::List(vec![s("a"), s("b c")]));
    let map = Arg::new(
        "map[string]int",
        Kind::Map(vec![(s("a"), i(1)), (s("b"), i(2))]),
    );
    let label = Arg::new("model.LabelName", Kind::String("x".into()));
    let duration = Arg::new("time.Duration", Kind::Int(90_000_000_000)).with_text("1m30s");
    let point = Arg::new(
        "main.P",
        Kind::Struct(vec![("X".into(), i(1)), ("Y".into(), s("q"))]),
    );
    let uint = Arg::new("uint64", Kind::Uint(255));
    for (format, args, expected) in [
        (
            "%d|%5d|%-5d|%05d|%+d|% d",
            vec![i(42); 6],
            "42|   42|42   |00042|+42| 42",
        ),
        (
            "%x %X %#x %o %#o %O %b %c %q %U %#U",
            vec![i(65); 11],
            "41 41 0x41 101 0101 0o101 1000001 A 'A' U+0041 U+0041 'A'",
        ),
        (
            "%s|%10s|%-10s|%.2s|%q|%x|% X|%#q",
            vec![s("héy"); 8],
            "héy|       héy|héy       |hé|\"héy\"|68c3a979|68 C3 A9 79|`héy`",
        ),
        ("%v %+v %#v %T", vec![s("a"); 4], "a a \"a\" string"),
        (
            "%f|%.2f|%8.3f|%-8.1f|%+.1e|%g|%G|%08.2f|%+08.2f",
            vec![f(3.24159); 9],
            "3.241590|3.24|   3.242|3.2     |+3.2e+00|3.24159|3.24159|00003.24|+0003.24",
        ),
        ("%#g %#.3g %#.0f", vec![f(1.0); 3], "1.00000 1.00 1."),
        (
            "%v %v %5v|%05f",
            vec![
                f(f64::NAN),
                f(f64::INFINITY),
                f(f64::NEG_INFINITY),
                f(f64::INFINITY),
            ],
            "NaN +Inf  -Inf| +Inf",
        ),
        ("%t %v %5t", vec![true.into(); 3], "true true  true"),
        ("%d", vec![s("x")], "%!d(string=x)"),
        ("%5d", vec![s("x")], "%!d(string=    x)"),
        ("%s %d", vec![i(1), f(1.5)], "%!s(int=1) %!d(float64=1.5)"),
        ("%d %s", vec![i(1)], "1 %!s(MISSING)"),
        (
            "%d",
            vec![i(1), s("a"), Arg::nil()],
            "1%!(EXTRA string=a, <nil>)",
        ),
        ("%", vec![], "%!(NOVERB)"),
        ("%%|%5%", vec![], "%|%"),
        ("%!", vec![i(1)], "%!!(int=1)"),
        ("%é", vec![i(1)], "%!é(int=1)"),
        (
            "%v %s %T %d",
            vec![Arg::nil(); 4],
            "<nil> %!s(<nil>) <nil> %!d(<nil>)",
        ),
        (
            "%*d|%-*d|%.*f",
            vec![i(5), i(1), i(4), i(2), i(1), f(2.55)],
            "    1|2   |2.5",
        ),
        ("%*d", vec![s("a"), i(1)], "%!(BADWIDTH)1"),
        ("%.*d", vec![i(-1), i(1)], "%!(BADPREC)1"),
        ("%[2]d %[1]d", vec![i(1), i(2)], "2 1"),
        ("%[3]d", vec![i(1)], "%!d(BADINDEX)"),
        ("%[1]d %d", vec![i(1), i(2)], "1 2"),
        (
            "%v|%s|%q|%#v|%d",
            vec![list.clone(); 5],
            "[a b c]|[a b c]|[\"a\" \"b c\"]|[]string{\"a\", \"b c\"}|[%!d(string=a) %!d(string=b c)]",
        ),
        (
            "%v %#v",
            vec![map.clone(); 2],
            "map[a:1 b:2] map[string]int{\"a\":1, \"b\":2}",
        ),
        (
            "%v %+v %#v",
            vec![point.clone(); 3],
            "{1 q} {X:1 Y:q} main.P{X:1, Y:\"q\"}",
        ),
        (
            "%v %s %d %q %f",
            vec![duration; 5],
            "1m30s 1m30s 90000000000 \"1m30s\" %!f(time.Duration=90000000000)",
        ),
        (
            "%d %T",
            vec![label; 2],
            "%!d(model.LabelName=x) model.LabelName",
        ),
        ("%v %#v %x %08b", vec![uint; 4], "255 0xff ff 11111111"),
        (
            "%.0d|%3.0d|%.3d|%6.3d",
            vec![i(0), i(0), i(7), i(7)],
            "|   |007|   007",
        ),
        ("%t", vec![i(1)], "%!t(int=1)"),
        (
            "%v",
            vec![Arg::new("*main.P", Kind::Pointer(Some(Box::new(point))))],
            "&{1 q}",
        ),
        (
            "%v",
            vec![Arg::new("*main.P", Kind::Pointer(None))],
            "<nil>",
        ),
        ("%w", vec![i(1)], "%!w(int=1)"),
        (
            "%s",
            vec![Arg::new("[]uint8", Kind::Bytes(b"hi".to_vec()))],
            "hi",
        ),
        (
            "%v",
            vec![Arg::new("[]uint8", Kind::Bytes(b"hi".to_vec()))],
            "[104 105]",
        ),
    ] {
        assert_eq!(sprintf(format, &args), expected, "{format}");
    }
    assert_eq!(
        sprint(&[s("a"), i(1), i(2), s("b"), s("c"), f(3.0), true.into()]),
        "a1 2bc3 true"
    );
    assert_eq!(sprintln(&[s("a"), i(1)]), "a 1\n");
}
